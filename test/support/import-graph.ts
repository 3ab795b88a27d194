import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { importsOf, isCode, projectFiles, ROOT } from './project-files.ts';

type Graph = ReadonlyMap<string, readonly string[]>;

/** What each of these files imports of them, by path. */
export function graphOf(files: Readonly<Record<string, string>>): Graph {
  return new Map(
    Object.entries(files).map(([file, text]) => {
      const imports = importsOf(text).filter((name) => name.startsWith('.'));
      const targets = imports.map((name) => join(dirname(file), name));
      return [file, targets.filter((target) => target in files)];
    }),
  );
}

/** The code of these folders of the project, by path from its root. */
export function codeBelow(...folders: string[]): Readonly<Record<string, string>> {
  const paths = projectFiles().filter((path) => folders.some((name) => path.startsWith(`${name}/`)));
  const code = paths.filter((path) => (isCode(path) || path.endsWith('.d.ts')) && !path.startsWith('test/fixtures/'));
  return Object.fromEntries(code.map((path) => [path, readFileSync(join(ROOT, path), 'utf8')]));
}

/** What each file of src imports of src, as paths from src. */
export function importGraph(): Graph {
  const files = Object.entries(codeBelow('src'));
  return graphOf(Object.fromEntries(files.map(([path, text]) => [relative('src', path), text])));
}

/** Groups of two or more that lead to one another, each sorted (Tarjan's strongly connected components). */
export function circlesIn(graph: Graph): string[][] {
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const circles: string[][] = [];
  const visit = (node: string): void => {
    index.set(node, index.size);
    low.set(node, index.get(node)!);
    stack.push(node);
    for (const next of graph.get(node) ?? []) {
      if (!index.has(next)) visit(next);
      if (stack.includes(next)) low.set(node, Math.min(low.get(node)!, low.get(next)!));
    }
    if (low.get(node) !== index.get(node)) return;
    const circle = stack.splice(stack.indexOf(node));
    if (circle.length > 1) circles.push(circle.sort());
  };
  for (const node of graph.keys()) if (!index.has(node)) visit(node);
  return circles;
}
