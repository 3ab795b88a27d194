import { dirname, join, normalize } from 'node:path';

interface Files {
  /** Path from the project's root, to text. */
  readonly [path: string]: string;
}

/** Everything of a module. */
const ALL = '*';

const VALUES = /^export (?:async )?(?:const|let|function\*?|class|abstract class) +(\w+)/gm;
const TYPES = /^export (?:declare )?(?:interface|type) +(\w+)/gm;
/** `export { a, type b as c } from './x.ts'`, and without a module. */
const LISTED = /^export (?:type )?\{([^}]*)\}(?:\s*from\s*['"]([^'"]+)['"])?/gm;
const WHOLE = /^(?:export|import) (?:type )?\*(?: as \w+)? from\s*['"]([^'"]+)['"]/gm;
const IMPORTED = /^import (?:type )?(?:\w+,\s*)?\{([^}]*)\}\s*from\s*['"]([^'"]+)['"]/gm;
/** `const { A } = await import('./x.ts')`, `import('./x.ts').A`, or for its whole. */
const LATER = /(?:\{([^}]*)\} = await )?\bimport\(\s*['"`]([^'"`]+)['"`]\s*\)(?:\.(\w+))?/g;
const DEFAULT = /^import (?:type )?(\w+)(?:,\s*\{[^}]*\})? from\s*['"]([^'"]+)['"]/gm;

/** What a list in braces names: as the module calls it, and as it is called here. */
function namesIn(list: string): { there: string; here: string }[] {
  return list
    .split(',')
    .map((one) => one.trim().replace(/^type /, ''))
    .filter((one) => one !== '')
    .map((one) => {
      const [there = '', here = there] = one.split(/\s*(?: as |: )\s*/);
      return { there, here };
    });
}

const withoutComments = (text: string): string => text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');

/** "path: name" of each name that a file exports, and that no other file takes from it. */
export function unusedExports(files: Files): string[] {
  const exported: [string, string][] = [];
  const used = new Set<string>();
  for (const [path, text] of Object.entries(files)) {
    const code = withoutComments(text);
    const take = (specifier: string, name: string): void =>
      void used.add(`${normalize(join(dirname(path), specifier))}: ${name}`);
    const values = new Set([...code.matchAll(VALUES)].map(([, name]) => name!));
    for (const name of values) exported.push([path, name]);
    // A type that is a part of what the file exports besides may be named as well.
    for (const [, name] of code.matchAll(TYPES)) {
      const needed = (code.match(new RegExp(`\\b${name}\\b`, 'g')) ?? []).length > 1;
      if (!needed && !values.has(name!)) exported.push([path, name!]);
    }
    if (/^export default /m.test(code)) exported.push([path, 'default']);
    for (const [, list, specifier] of code.matchAll(LISTED)) {
      for (const { there, here } of namesIn(list!)) {
        exported.push([path, here]);
        if (specifier) take(specifier, there);
      }
    }
    for (const [, specifier] of code.matchAll(WHOLE)) take(specifier!, ALL);
    for (const [, list, specifier] of code.matchAll(IMPORTED))
      for (const { there } of namesIn(list!)) take(specifier!, there);
    for (const [, , specifier] of code.matchAll(DEFAULT)) take(specifier!, 'default');
    for (const [, list, specifier, name] of code.matchAll(LATER)) {
      if (list !== undefined) for (const { there } of namesIn(list)) take(specifier!, there);
      else take(specifier!, name ?? ALL);
    }
  }
  return exported
    .filter(([path, name]) => !used.has(`${path}: ${name}`) && !used.has(`${path}: ${ALL}`))
    .map(([path, name]) => `${path}: ${name}`);
}
