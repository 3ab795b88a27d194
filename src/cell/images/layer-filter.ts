import type { Readable } from 'node:stream';
import { CupolaError } from '../../kit/errors.ts';
import { madeOf } from '../../kit/streams.ts';
import { TAR_BLOCK, TAR_END, type TarMember, TarReader, tarHeader, tarPadding } from '../../kit/tar.ts';
import type { LayerWhiteouts } from '../garden/garden.ts';

export interface LayerLimits {
  unpackedBytes: number;
  entries: number;
}

const MOST_NAME = 4096;
/** Of one part of a path, in bytes: what a file system takes. */
const MOST_PART = 255;
/** Of a path that a layer takes away. */
const MOST_PARTS = 256;
/** Of all that a layer takes away, which the cell itself keeps: the bytes of its paths, and `PART_BYTES` for each part, which is looked up. */
const MOST_WHITEOUT_BYTES = 16 * 1024 ** 2;
const PART_BYTES = 16;
/** Numbers a container has users for. */
const MOST_ID = 65_535;
const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';

/**
 * Reads a layer's tar, which anybody may have made, and writes it anew: only paths inside, only files, directories, links
 * and pipes, no set-user-id bits, no extended attributes, not more than `limits` allow (SECURITY 24). Whiteouts are taken out
 * and known when the stream has ended. The stream fails with `image_invalid`, `image_unsupported` or what the source
 * failed with. What ends it ends the source.
 */
export function cleanLayer(source: Readable, limits: LayerLimits): { stream: Readable; whiteouts: LayerWhiteouts } {
  const whiteouts = new WhiteoutList();
  return { stream: madeOf(source, (chunks) => clean(chunks, limits, whiteouts)), whiteouts };
}

async function* clean(
  source: AsyncIterable<Buffer>,
  limits: LayerLimits,
  whiteouts: WhiteoutList,
): AsyncGenerator<Buffer> {
  const members = new TarReader(source, broken);
  let entries = 0;
  let bytes = 0;
  for await (const member of members) {
    entries += 1;
    // An entry takes room even where it has no content.
    bytes += member.size + TAR_BLOCK;
    if (entries > limits.entries || bytes + members.extendedBytes > limits.unpackedBytes) {
      throw new CupolaError('image_unsupported', 'a layer of the image is larger than is allowed');
    }
    const path = insidePath(member.name);
    if (takeWhiteout(member, path, whiteouts) || isLeftOut(member, path)) continue;
    yield tarHeader(cleaned(member, path));
    yield* members.content();
    yield tarPadding(member.size);
  }
  yield TAR_END;
}

function broken(why: string): CupolaError {
  return new CupolaError('image_invalid', `a layer of the image is not valid: ${why}`);
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
function takeWhiteout({ size }: TarMember, path: string, whiteouts: WhiteoutList): boolean {
  const at = path.lastIndexOf('/') + 1;
  const base = path.slice(at);
  if (!base.startsWith(WHITEOUT)) return false;
  if (size > 0) throw broken('a whiteout has content'); // which would be read for nobody, by the cell itself
  const directory = path.slice(0, Math.max(0, at - 1));
  const removed = base.slice(WHITEOUT.length);
  if (base === OPAQUE && directory === '') {
    throw new CupolaError('image_unsupported', 'a layer of the image hides everything below it');
  }
  if (base === OPAQUE) whiteouts.add('opaque', directory);
  else if (removed === '' || removed === '.' || removed === '..') throw broken('a whiteout leads out of the image');
  // ".wh..wh.…" are notes of a file system that nobody uses any more
  else if (!removed.startsWith(WHITEOUT)) whiteouts.add('removed', path.slice(0, at) + removed);
  return true;
}

/** What a layer takes away, each path once, within bounds: it is kept by the cell, and in no container. */
class WhiteoutList implements LayerWhiteouts {
  readonly removed = new Set<string>();
  readonly opaque = new Set<string>();
  #bytes = 0;

  /** Throws `image_invalid` for a path that no file can have, `image_unsupported` past the bound. */
  add(kind: 'removed' | 'opaque', path: string): void {
    const text = asText(path);
    if (this[kind].has(text)) return;
    const parts = path.split('/');
    if (parts.length > MOST_PARTS || parts.some(({ length }) => length > MOST_PART)) {
      throw broken('the name of a whiteout is too long');
    }
    this.#bytes += path.length + PART_BYTES * parts.length;
    if (this.#bytes > MOST_WHITEOUT_BYTES) {
      throw new CupolaError('image_unsupported', 'a layer of the image takes away more than is allowed');
    }
    this[kind].add(text);
  }
}

/** Every container has a /dev of its own; a device anywhere else is refused. */
function isLeftOut(member: TarMember, path: string): boolean {
  if (member.type !== 'device') return false;
  if (path.startsWith('dev/')) return true;
  throw broken('it holds a device');
}

function cleaned(member: TarMember, path: string): TarMember {
  const { type } = member;
  if (path === '' && type !== 'directory') throw broken('the root is not a directory');
  if (member.uid > MOST_ID || member.gid > MOST_ID) {
    throw new CupolaError('image_unsupported', `a file of the image belongs to a user or group above ${MOST_ID}`);
  }
  const name = type === 'directory' ? `./${path}${path === '' ? '' : '/'}` : `./${path}`;
  const linkName =
    type === 'hardlink' ? `./${insidePath(member.linkName)}` : type === 'symlink' ? symlinkTarget(member) : '';
  const mode = type === 'directory' ? member.mode & 0o3777 : member.mode & 0o1777;
  return { ...member, name, linkName, mode };
}

/** Followed only inside of a container, so it may point anywhere. */
function symlinkTarget({ linkName }: TarMember): string {
  if (linkName === '' || linkName.length > MOST_NAME || linkName.includes('\0')) throw broken('a link leads nowhere');
  return linkName;
}

function asText(path: string): string {
  return Buffer.from(path, 'latin1').toString('utf8');
}
