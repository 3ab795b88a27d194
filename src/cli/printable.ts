import { stripVTControlCharacters } from 'node:util';

/** A text that moves no cursor of the terminal it is shown on: line feeds stay, other control characters do not. */
export function printable(text: string): string {
  return stripVTControlCharacters(text).replaceAll(/[^\P{Cc}\n]/gu, ' ');
}
