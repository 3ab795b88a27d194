import { Type } from 'typebox';
import type { Links } from './view.ts';

const Guid = Type.String({ minLength: 1, maxLength: 200 });
const Reference = Type.Object({ guid: Guid }, { additionalProperties: false });

/** `{"data": {"guid": …}}` in a body. */
export const ToOne = Type.Object({ data: Reference }, { additionalProperties: false });

/** The same where null takes the relationship away. */
export const ToOneOrNone = Type.Object({ data: Type.Union([Type.Null(), Reference]) }, { additionalProperties: false });

/** `{"data": [{"guid": …}, …]}` in a body. */
export const ToMany = Type.Object({ data: Type.Array(Reference, { maxItems: 5000 }) }, { additionalProperties: false });

/** A to-one relationship under its own address. */
export function toOneView(links: Links, self: string, relatedCollection: string, guid: string | null) {
  return {
    data: guid === null ? null : { guid },
    links: { self: links.to(self), ...(guid === null ? {} : { related: links.to(`${relatedCollection}/${guid}`) }) },
  };
}

/** A to-many relationship under its own address. */
export function toManyView(links: Links, self: string, guids: readonly string[]) {
  return { data: guids.map((guid) => ({ guid })), links: { self: links.to(self) } };
}

/** The distinct guids of a to-many body. */
export function guidsOf(body: { data: readonly { guid: string }[] }): string[] {
  return [...new Set(body.data.map((item) => item.guid))];
}
