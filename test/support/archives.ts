import { crc32 } from 'node:zlib';

/** Archives written by hand, because tools refuse to make hostile ones. */
export interface ArchiveEntry {
  name: string;
  content?: string | Buffer;
  type?: 'file' | 'directory' | 'symlink' | 'link' | 'device';
  link?: string;
  mode?: number;
  uid?: number;
  gid?: number;
}

const TAR_TYPES = { file: '0', link: '1', symlink: '2', device: '4', directory: '5' };

/** A ustar archive. */
export function tar(entries: readonly ArchiveEntry[]): Buffer {
  const blocks = entries.flatMap((entry) => {
    const content = Buffer.from(entry.content ?? '');
    const type = entry.type ?? 'file';
    const header = Buffer.alloc(512);
    header.write(entry.name, 0, 100);
    header.write(octal(entry.mode ?? (type === 'directory' ? 0o755 : 0o644), 7), 100);
    header.write(octal(entry.uid ?? 0, 7), 108);
    header.write(octal(entry.gid ?? 0, 7), 116);
    header.write(octal(content.length, 11), 124);
    header.write(octal(0, 11), 136);
    header.write('        ', 148);
    header.write(TAR_TYPES[type], 156);
    header.write(entry.link ?? '', 157, 100);
    header.write('ustar\0' + '00', 257);
    if (type === 'device') {
      header.write(octal(1, 7), 329);
      header.write(octal(3, 7), 337);
    }
    header.write(
      octal(
        header.reduce((sum, byte) => sum + byte, 0),
        6,
      ),
      148,
    );
    header[154] = 0;
    return [header, content, Buffer.alloc((512 - (content.length % 512)) % 512)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0');
}

/** A zip archive without compression, made on Unix. */
export function zip(entries: readonly ArchiveEntry[]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const entry of entries) {
    const name = Buffer.from(entry.name);
    const content = Buffer.from(entry.content ?? '');
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt32LE(crc32(content), 10);
    common.writeUInt32LE(content.length, 14);
    common.writeUInt32LE(content.length, 18);
    common.writeUInt16LE(name.length, 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), common, name, content]);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(((entry.mode ?? 0o100644) << 16) >>> 0, 6);
    tail.writeUInt32LE(offset, 10);
    directory.push(Buffer.concat([Buffer.from('PK\x01\x02'), Buffer.from([20, 3]), common, tail, name]));
    parts.push(local);
    offset += local.length;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 0, 'latin1');
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, central, end]);
}
