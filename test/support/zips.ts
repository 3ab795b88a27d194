import { buffer } from 'node:stream/consumers';
import * as yazl from 'yazl';

export interface ZipItem {
  path: string;
  body?: string | Buffer;
  mode?: number;
}

/** A zip of these entries. Paths are written as they are given, however hostile: a placeholder is renamed in the bytes. */
export async function zipOf(items: readonly ZipItem[]): Promise<Buffer> {
  const zip = new yazl.ZipFile();
  const renames: [string, string][] = [];
  for (const [index, item] of items.entries()) {
    const isDirectory = item.path.endsWith('/');
    const length = Buffer.byteLength(item.path);
    const placeholder = `${String(index).padStart(length - (isDirectory ? 1 : 0), '~')}${isDirectory ? '/' : ''}`;
    const hostile =
      /^\/|\.\.|^[A-Za-z]:|\\/.test(item.path) || items.some((other, at) => at < index && other.path === item.path);
    const name = hostile ? placeholder : item.path;
    if (hostile) renames.push([placeholder, item.path]);
    if (isDirectory) zip.addEmptyDirectory(name, item.mode === undefined ? {} : { mode: item.mode });
    else zip.addBuffer(Buffer.from(item.body ?? ''), name, { mode: item.mode ?? 0o100644 });
  }
  zip.end();
  let data = (await buffer(zip.outputStream as NodeJS.ReadableStream)).toString('latin1');
  for (const [from, to] of renames) data = data.replaceAll(from, to);
  return Buffer.from(data, 'latin1');
}
