import { FIELDS, type FieldId } from './permissions.ts';
import type { Role } from './role-names.ts';

const HIDDEN = '[PRIVATE DATA HIDDEN]';
const HIDDEN_IN_LISTS = '[PRIVATE DATA HIDDEN IN LISTS]';

/** Who looks at a resource: which of the fields that stand in the permission table they see. */
export interface Reader {
  sees(field: FieldId): boolean;
  /** What stands where a field is not seen. */
  hidden: string;
}

/** A reader with these roles at the place of what they look at. */
export function readerWith(...rolesAtPlaces: readonly ReadonlySet<Role>[]): Reader {
  return {
    sees: (field) =>
      rolesAtPlaces.length > 0 && rolesAtPlaces.every((held) => FIELDS[field].some((role) => held.has(role))),
    hidden: HIDDEN,
  };
}

/** Whoever looks at a list of several apps' resources: they may hold other roles at each, so nobody sees these fields. */
export const LIST_READER: Reader = { sees: () => false, hidden: HIDDEN_IN_LISTS };

/** A text field as this reader sees it. Hidden it never says whether there is a value. */
export function shown<Value>(reader: Reader, field: FieldId, value: Value): Value | string {
  return reader.sees(field) ? value : reader.hidden;
}

/** The same for a field that is an object. */
export function shownObject<Value extends object>(
  reader: Reader,
  field: FieldId,
  value: Value,
): Value | { redacted_message: string } {
  return reader.sees(field) ? value : { redacted_message: reader.hidden };
}
