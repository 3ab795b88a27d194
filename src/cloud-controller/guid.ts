declare const OF: unique symbol;

/** The guid of an app, a space, …: text like any other, but no other kind's guid can stand in its place. */
export type Guid<Of extends string> = string & { readonly [OF]: Of };

/** Says whose guid a text is, where it comes in from outside: `guid<'app'>(text)`. The kind is named there and never guessed. */
export function guid<Of extends string = ''>(text: string): Guid<NoInfer<Of>> {
  return text as Guid<Of>;
}

/** The guid of something new: of the kind it is inserted as. */
export function newGuid<Of extends string>(): Guid<Of> {
  return guid<Of>(crypto.randomUUID());
}
