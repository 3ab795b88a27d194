import { Type } from 'typebox';
import type { Guid } from './guid.ts';
import { Link, type Links } from './view.ts';

/** A guid in a body. What it is of is said by its place there, and found out where it is looked up. */
export function GuidOf<Of extends string>() {
  return Type.Unsafe<Guid<Of>>(Type.String({ minLength: 1, maxLength: 200 }));
}

function Reference<Of extends string>() {
  return Type.Object({ guid: GuidOf<Of>() }, { additionalProperties: false });
}

/** `{"data": {"guid": …}}` in a body. */
export function ToOne<Of extends string>() {
  return Type.Object({ data: Reference<Of>() }, { additionalProperties: false, relationship: 'to-one' });
}

/** The same where null takes the relationship away. */
export function ToOneOrNone<Of extends string>() {
  return Type.Object(
    { data: Type.Union([Type.Null(), Reference<Of>()]) },
    { additionalProperties: false, relationship: 'to-one' },
  );
}

/** `{"data": [{"guid": …}, …]}` in a body. */
export function ToMany<Of extends string>() {
  return Type.Object(
    { data: Type.Array(Reference<Of>(), { maxItems: 5000 }) },
    { additionalProperties: false, relationship: 'to-many' },
  );
}

export const RelationshipToOne = Type.Object(
  {
    data: Type.Union([Type.Object({ guid: Type.String() }), Type.Null()]),
    links: Type.Object({ self: Link, related: Type.Optional(Link) }),
  },
  { title: 'RelationshipToOne' },
);

/** A to-one relationship under its own address. */
export function toOneView(links: Links, self: string, relatedCollection: string, guid: string | null) {
  return {
    data: guid === null ? null : { guid },
    links: { self: links.to(self), ...(guid === null ? {} : { related: links.to(`${relatedCollection}/${guid}`) }) },
  };
}

export const RelationshipToMany = Type.Object(
  {
    data: Type.Array(Type.Object({ guid: Type.String() })),
    links: Type.Object({ self: Link, related: Type.Optional(Link) }),
  },
  { title: 'RelationshipToMany' },
);

/** A to-many relationship under its own address. */
export function toManyView(links: Links, self: string, guids: readonly string[]) {
  return { data: guids.map((guid) => ({ guid })), links: { self: links.to(self) } };
}

/** The distinct guids of a to-many body. */
export function guidsOf<Of extends string>(body: { data: readonly { guid: Guid<Of> }[] }): Guid<Of>[] {
  return [...new Set(body.data.map((item) => item.guid))];
}
