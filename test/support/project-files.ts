import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

export const ROOT = resolve(import.meta.dirname, '../..');

/** Static imports, re-exports, side-effect imports, dynamic imports, `import('…')` types and `require`. */
export function importsOf(text: string): string[] {
  const code = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
  const patterns = [
    /^\s*(?:import|export)\b[^;'"`]*?\bfrom\s*(['"])([^'"]+)\1/gm,
    /^\s*import\s*(['"])([^'"]+)\1/gm,
    /\bimport\s*\(\s*(['"`])([^'"`]+)\1/g,
    /(?<![.\w])require\s*\(\s*(['"`])([^'"`]+)\1/g,
    /\bnew URL\(\s*(['"`])([^'"`]+\.[cm]?[jt]s)\1/g,
  ];
  return patterns.flatMap((pattern) => [...code.matchAll(pattern)].map((match) => match[2]!));
}

/** Every file but what is installed, built, logged or kept by Git itself, as paths from the root. */
export function projectFiles(): string[] {
  const skipped = new Set(['node_modules', '.git', '.cache', 'dist']);
  const walk = (directory: string): string[] =>
    readdirSync(join(ROOT, directory), { withFileTypes: true }).flatMap((entry) => {
      const path = join(directory, entry.name);
      if (skipped.has(entry.name)) return [];
      if (entry.isDirectory()) return walk(path);
      return entry.isFile() && !entry.name.endsWith('.log') && existsSync(join(ROOT, path)) ? [path] : [];
    });
  return walk('.').sort();
}

/** Whether a file of the project is code that runs: what is built from a contract is reached by the types beside it. */
export function isCode(path: string): boolean {
  if (path.endsWith('.js')) return path.startsWith('src/') && !path.startsWith('src/contracts/gen/');
  return path.endsWith('.ts') && !path.endsWith('.d.ts');
}

/** The title of a test or of a suite; of one that is put together, what stands before the first value, and then `…`. */
export function titlesOf(path: string): string[] {
  const text = readFileSync(join(ROOT, path), 'utf8');
  const pattern = /\b(?:test|it|describe)\(\s*(?:(['"])((?:\\.|(?!\1)[^\\])*)\1|`((?:\\.|[^`\\])*)`)/g;
  return [...text.matchAll(pattern)].map(([, , plain, template]) => {
    const [title = '', ...more] = (plain ?? template ?? '').split('${');
    const read = title
      .replaceAll(/\\u([0-9a-f]{4})/gi, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))
      .replaceAll(/\\(.)/g, '$1');
    return template !== undefined && more.length > 0 ? `${read}…` : read;
  });
}
