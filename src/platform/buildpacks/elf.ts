import { open } from 'node:fs/promises';
import { CupolaError } from '../../kit/errors.ts';

const HEADER_BYTES = 64;

/**
 * Cuts off what no program header loads (symbols, debugging information) from the end of a 64-bit little-endian ELF program, as
 * `strip` does. A Node.js of 150 MB gets 116 MB, which every droplet, upload and unpacking is spared.
 * Throws `not_elf`.
 */
export async function dropUnloaded(path: string): Promise<void> {
  await using file = await open(path, 'r+');
  const header = Buffer.alloc(HEADER_BYTES);
  await file.read(header, 0, HEADER_BYTES, 0);
  if (header.toString('latin1', 0, 6) !== '\x7fELF\x02\x01') throw new CupolaError('not_elf', `${path} is no program`);
  const offset = Number(header.readBigUInt64LE(32));
  const size = header.readUInt16LE(54);
  const count = header.readUInt16LE(56);
  const table = Buffer.alloc(size * count);
  await file.read(table, 0, table.length, offset);
  let end = offset + table.length;
  for (let index = 0; index < count; index++) {
    const entry = table.subarray(index * size, (index + 1) * size);
    // Whatever kind of segment: notes usually lie inside of what is loaded, and are kept where they do not.
    end = Math.max(end, Number(entry.readBigUInt64LE(8)) + Number(entry.readBigUInt64LE(32)));
  }
  header.writeBigUInt64LE(0n, 40); // section headers: position, number, names
  header.writeUInt16LE(0, 60);
  header.writeUInt16LE(0, 62);
  await file.write(header, 0, HEADER_BYTES, 0);
  await file.truncate(end);
}
