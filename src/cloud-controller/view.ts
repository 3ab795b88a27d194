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
