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

/** An entry as the directory of a zip has it. */
export interface DirectoryItem {
  name: Buffer;
  extra?: Buffer;
  comment?: Buffer;
  flags?: number;
}

/** A zip that is little but its directory: each entry says to be an empty file, and none but the first can be opened. */
export function directoryOf(items: Iterable<DirectoryItem>): Buffer {
  const first = Buffer.alloc(30);
  first.writeUInt32LE(0x04034b50, 0);
  const headers: Buffer[] = [];
  let count = 0;
  for (const { name, extra = Buffer.alloc(0), comment = Buffer.alloc(0), flags = 0 } of items) {
    const header = Buffer.alloc(46);
    header.writeUInt32LE(0x02014b50, 0);
    header.writeUInt16LE(0x0314, 4);
    header.writeUInt16LE(flags, 8);
    header.writeUInt16LE(name.length, 28);
    header.writeUInt16LE(extra.length, 30);
    header.writeUInt16LE(comment.length, 32);
    header.writeUInt32LE((0o100644 << 16) >>> 0, 38);
    header.writeUInt32LE(count, 42);
    headers.push(header, name, extra, comment);
    count += 1;
  }
  const body = Buffer.concat([first, Buffer.alloc(count)]);
  const directory = Buffer.concat(headers);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(count, 8);
  end.writeUInt16LE(count, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(body.length, 16);
  return Buffer.concat([body, directory, end]);
}
