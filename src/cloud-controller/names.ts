import { Type } from 'typebox';
import { PRINTABLE } from '../kit/printable.ts';
import type { BodyOptions } from './body.ts';

/** What is said of a name after "Name"; the reference's words. */
export const UNPRINTABLE_NAME = 'must not contain escaped characters';

/** A name that somebody chooses for a resource: anything that can be shown, up to 255 characters unless told. */
export function ResourceName(options: BodyOptions & { maxLength?: number } = {}) {
  return Type.String({ minLength: 1, maxLength: 255, pattern: PRINTABLE, malformed: UNPRINTABLE_NAME, ...options });
}
