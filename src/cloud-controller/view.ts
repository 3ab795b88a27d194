import { Type } from 'typebox';
import type { MetadataColumns } from './metadata.ts';

export const Link = Type.Object({ href: Type.String() });
export const ActionLink = Type.Object({ href: Type.String(), method: Type.String() });
export const Timestamp = Type.String({ pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ$' });
/** What every resource's view begins with. */
export const IDENTITY = { guid: Type.String(), created_at: Timestamp, updated_at: Timestamp };
const Reference = Type.Object({ guid: Type.String() });
export const ToOneView = Type.Object({ data: Type.Union([Reference, Type.Null()]) });
export const ToManyView = Type.Object({ data: Type.Array(Reference) });
type Texts = Record<string, string>;
const Texts = Type.Record(Type.String(), Type.String());
export const MetadataView = Type.Object({ labels: Texts, annotations: Texts });

/** "2026-01-31T12:00:00Z": to the second, as the v3 API writes times. */
export function timestamp(date: Date): string {
  return `${date.toISOString().slice(0, 19)}Z`;
}

/** What every resource's view begins with. */
export function identityView(row: { guid: string; created_at: Date; updated_at: Date }): {
  guid: string;
  created_at: string;
  updated_at: string;
} {
  return { guid: row.guid, created_at: timestamp(row.created_at), updated_at: timestamp(row.updated_at) };
}

/** The two columns as every resource shows them. */
export function metadataView({ labels, annotations }: MetadataColumns): { labels: Texts; annotations: Texts } {
  return { labels: { ...labels }, annotations: { ...annotations } };
}

/** Makes absolute links from paths ("/v3/organizations/…"). */
export class Links {
  readonly #api: string;

  /** `api` is the API's URL without a trailing slash. */
  constructor(api: string) {
    this.#api = api;
  }

  url(path: string): string {
    return `${this.#api}${path}`;
  }

  to(path: string): { href: string } {
    return { href: this.url(path) };
  }

  action(path: string, method: string): { href: string; method: string } {
    return { href: this.url(path), method };
  }
}

/** `{"data": {"guid": …}}`, or null data. */
export function toOne(guid: string | null): { data: { guid: string } | null } {
  return { data: guid === null ? null : { guid } };
}

export function toMany(guids: readonly string[]): { data: { guid: string }[] } {
  return { data: guids.map((guid) => ({ guid })) };
}
