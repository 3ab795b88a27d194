import { readFileSync } from 'node:fs';
import { SourceMap } from 'node:module';
import { dirname, relative, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { spec as Spec, type TestEvent } from 'node:test/reporters';

/** For `--test-reporter`. */
export const SPEC_REPORTER = import.meta.filename;

/** As stacks and the test runner write one. */
const PLACE = /(?:file:\/\/)?([^\s()'"]+\.js):(\d+):(\d+)/g;

/**
 * Node's reporter `spec`, with each place in a bundle as that in the source. With `--enable-source-maps` every process would read the maps
 * of all it loads, which takes a tenth of a second of each file of tests.
 */
export default async function* report(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const maps = new Map<string, SourceMap | null>();
  const mapOf = (path: string): SourceMap | null => {
    const known = maps.get(path);
    if (known !== undefined) return known;
    const map = readMap(`${path}.map`);
    maps.set(path, map);
    return map;
  };
  const inSource = (place: string, named: string, line: string, column: string): string => {
    const path = resolve(named);
    const origin = mapOf(path)?.findOrigin(Number(line), Number(column));
    if (origin === undefined || !('fileName' in origin)) return place;
    const source = relative('.', resolve(dirname(path), origin.fileName));
    return `${source}:${origin.lineNumber}:${origin.columnNumber}`;
  };
  for await (const text of Readable.from(events).compose(new Spec())) yield String(text).replace(PLACE, inSource);
}

/** Null where there is none that can be read: a report without sources is better than none. */
function readMap(file: string): SourceMap | null {
  try {
    return new SourceMap(JSON.parse(readFileSync(file, 'utf8')));
  } catch {
    return null;
  }
}
