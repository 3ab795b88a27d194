import { Readable } from 'node:stream';
import { CupolaError } from '../../kit/errors.ts';
import { BLOCK, broken, checksum, type LayerMember, LayerMembers } from './layer-members.ts';

/** What a layer takes away from those below it; paths without a leading slash. */
export interface Whiteouts {
  removed: string[];
  /** Directories that show nothing of the layers below. */
  opaque: string[];
}

export interface LayerLimits {
  unpackedBytes: number;
  entries: number;
}

const MOST_NAME = 4096;
/** Numbers a container has users for. */
const MOST_ID = 65_535;
const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';

/**
 * Reads a layer's tar, which anybody may have made, and writes it anew: only paths inside, only files, directories, links
 * and pipes, no set-user-id bits, no extended attributes, not more than `limits` allow (SEC-24). Whiteouts are taken out
 * and known when the stream has ended. The stream fails with `image_invalid`, `image_unsupported` or what the source
 * failed with.
 */
export function cleanLayer(
  source: AsyncIterable<Buffer>,
  limits: LayerLimits,
): { stream: Readable; whiteouts: Whiteouts } {
  const whiteouts: Whiteouts = { removed: [], opaque: [] };
  return { stream: Readable.from(clean(source, limits, whiteouts), { objectMode: false }), whiteouts };
}

async function* clean(
  source: AsyncIterable<Buffer>,
  limits: LayerLimits,
  whiteouts: Whiteouts,
): AsyncGenerator<Buffer> {
  const members = new LayerMembers(source);
  let entries = 0;
  let bytes = 0;
  for (let member = await members.next(); member; member = await members.next()) {
    entries += 1;
    // An entry takes room even where it has no content.
    bytes += member.size + BLOCK;
    if (entries > limits.entries || bytes > limits.unpackedBytes) {
      throw new CupolaError('image_unsupported', 'a layer of the image is larger than is allowed');
    }
    const path = insidePath(member.name);
    if (takeWhiteout(path, whiteouts) || isLeftOut(member, path)) continue;
    yield* headerOf(member, path);
    yield* members.content();
    yield Buffer.alloc((BLOCK - (member.size % BLOCK)) % BLOCK);
  }
  yield Buffer.alloc(2 * BLOCK);
}

/** "./usr//bin/" → "usr/bin". Throws for what would lead out. */
function insidePath(name: string): string {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (name.length > MOST_NAME || name.includes('\0') || parts.includes('..')) {
    throw broken('an entry leads out of the image');
  }
  return parts.join('/');
}

/** Image layer specification, "Whiteouts". True where the entry was one. */
function takeWhiteout(path: string, whiteouts: Whiteouts): boolean {
  const at = path.lastIndexOf('/') + 1;
  const base = path.slice(at);
  if (!base.startsWith(WHITEOUT)) return false;
  const directory = path.slice(0, Math.max(0, at - 1));
  const removed = base.slice(WHITEOUT.length);
  if (base === OPAQUE && directory === '') {
    throw new CupolaError('image_unsupported', 'a layer of the image hides everything below it');
  }
  if (base === OPAQUE) whiteouts.opaque.push(asText(directory));
  else if (removed === '' || removed === '.' || removed === '..') throw broken('a whiteout leads out of the image');
  // ".wh..wh.…" are notes of a file system that nobody uses any more
  else if (!removed.startsWith(WHITEOUT)) whiteouts.removed.push(asText(path.slice(0, at) + removed));
  return true;
}

/** Every container has a /dev of its own; a device anywhere else is refused. */
function isLeftOut(member: LayerMember, path: string): boolean {
  if (member.type !== 'device') return false;
  if (path.startsWith('dev/')) return true;
  throw broken('it holds a device');
}

function* headerOf(member: LayerMember, path: string): Generator<Buffer> {
  const { type } = member;
  if (path === '' && type !== 'directory') throw broken('the root is not a directory');
  if (member.uid > MOST_ID || member.gid > MOST_ID) {
    throw new CupolaError('image_unsupported', `a file of the image belongs to a user or group above ${MOST_ID}`);
  }
  const name = type === 'directory' ? `./${path}${path === '' ? '' : '/'}` : `./${path}`;
  const linkName =
    type === 'hardlink' ? `./${insidePath(member.linkName)}` : type === 'symlink' ? symlinkTarget(member) : '';
  const long = [
    ...(name.length > 100 ? [record('path', name)] : []),
    ...(linkName.length > 100 ? [record('linkpath', linkName)] : []),
    ...(member.size >= 8 ** 11 ? [record('size', String(member.size))] : []),
  ];
  if (long.length > 0) {
    const body = Buffer.concat(long);
    yield block({
      name: 'extended',
      linkName: '',
      kind: 'x',
      mode: 0o644,
      uid: 0,
      gid: 0,
      modified: 0,
      size: body.length,
    });
    yield body;
    yield Buffer.alloc((BLOCK - (body.length % BLOCK)) % BLOCK);
  }
  const kind = { file: '0', hardlink: '1', symlink: '2', directory: '5', fifo: '6', device: '' }[type];
  const mode = type === 'directory' ? member.mode & 0o3777 : member.mode & 0o1777;
  yield block({ ...member, name, linkName, kind, mode });
}

/** Followed only inside of a container, so it may point anywhere. */
function symlinkTarget({ linkName }: LayerMember): string {
  if (linkName === '' || linkName.length > MOST_NAME || linkName.includes('\0')) throw broken('a link leads nowhere');
  return linkName;
}

/** A pax record, which states its own length. */
function record(name: string, value: string): Buffer {
  const rest = ` ${name}=${value}\n`;
  let length = rest.length + 1;
  while (length !== rest.length + String(length).length) length = rest.length + String(length).length;
  return Buffer.from(`${length}${rest}`, 'latin1');
}

function block(fields: {
  name: string;
  linkName: string;
  kind: string;
  mode: number;
  uid: number;
  gid: number;
  modified: number;
  size: number;
}): Buffer {
  const header = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, digits: number): void => {
    header.write(`${value.toString(8).padStart(digits, '0').slice(-digits)}\0`, at, 'latin1');
  };
  header.write(fields.name.slice(0, 100), 0, 'latin1');
  octal(fields.mode, 100, 7);
  octal(fields.uid, 108, 7);
  octal(fields.gid, 116, 7);
  octal(fields.size, 124, 11);
  octal(Math.min(fields.modified, 8 ** 11 - 1), 136, 11);
  header.write('        ', 148, 'latin1');
  header.write(fields.kind, 156, 'latin1');
  header.write(fields.linkName.slice(0, 100), 157, 'latin1');
  header.write('ustar\x0000', 257, 'latin1');
  header.write(`${checksum(header).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}

function asText(path: string): string {
  return Buffer.from(path, 'latin1').toString('utf8');
}
