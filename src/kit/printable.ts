/*
 * Names are shown in terminals, logs and pages. Control characters (C0, DEL, C1, the separators of lines and paragraphs) would end
 * a line or begin an escape there; marks that override the direction of text show one name as another.
 */

const UNPRINTABLE = String.raw`\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069`;

/** For schemas: matches a text without any of them. */
export const PRINTABLE = `^[^${UNPRINTABLE}]*$`;

const printable = new RegExp(PRINTABLE);

/** Whether a name can be shown as it is. */
export function isPrintable(name: string): boolean {
  return printable.test(name);
}
