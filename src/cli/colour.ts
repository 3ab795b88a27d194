import { styleText } from 'node:util';

/** On a terminal that has colours alone, and not where NO_COLOR is set (https://no-color.org): else the text as it is. */
export function coloured(colour: 'green' | 'yellow' | 'red' | 'bold', text: string): string {
  // A pipe and a file have no such method.
  return process.stdout.hasColors?.() ? styleText(colour, text, { validateStream: false }) : text;
}
