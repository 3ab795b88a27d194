import { noticedBy } from './mutation.ts';

const ACCESS = 'cell/images/registry-access.ts';
const ADDRESSES = 'cell/images/addresses.ts';
const CLIENT = 'cell/images/registry-client.ts';
const FILTER = 'cell/images/layer-filter.ts';
const LAYER_FILES = 'cell/garden/layer-files.ts';
const LAYERS = 'cell/garden/layers.ts';
const PROOFS = 'cell/images/layer-proofs.ts';
const REFERENCE = 'cell/images/reference.ts';
const STORE = 'cell/images/image-store.ts';
const TAR = 'kit/tar.ts';
const UNPACKING = 'cell/garden/unpacking.ts';

// biome-ignore-start lint/suspicious/noTemplateCurlyInString: the code's own text
/** Of container images: their names, their registries, their layers. */
export const cellImages = [
  ...noticedBy('test/unit/cell/registry-access.test.ts', [
    ['SECURITY 28: a redirect', ACCESS, 'if (next.origin !== target.origin)', 'if (next.origin === url.origin)'],
    ['SECURITY 28: a redirect', ACCESS, "name.toLowerCase() !== 'authorization'", "name !== 'authorization'"],
  ]),
  ...noticedBy('test/unit/cell/image-layers.test.ts', [
    ['SECURITY 24: names that lead out', FILTER, " || parts.includes('..')", ''],
    ['SECURITY 24: names that lead out', FILTER, '`./${insidePath(member.linkName)}`', '`./${member.linkName}`'],
    [
      'SECURITY 24: names that lead out',
      FILTER,
      "else if (removed === '' || removed === '.' || removed === '..') throw",
      'else if (false) throw',
    ],
    ['SECURITY 25: a whiteout with content', FILTER, 'if (size > 0) throw', 'if (false) throw'],
    ['SECURITY 24: devices', FILTER, "throw broken('it holds a device');", 'return true;'],
    ['SECURITY 24: devices', FILTER, "path.startsWith('dev/')", "path.startsWith('dev')"],
    ['SECURITY 24: devices', FILTER, "if (path.startsWith('dev/')) return true;", ''],
    ['SECURITY 24: what unpacks', FILTER, 'bytes + members.extendedBytes > limits.unpackedBytes', 'false'],
    ['SECURITY 24: what unpacks', FILTER, 'entries > limits.entries ||', ''],
    ['SECURITY 24: what unpacks', FILTER, 'if (member.uid > MOST_ID ||', 'if ('],
    ['SECURITY 24: what unpacks', FILTER, ' || member.gid > MOST_ID)', ')'],
    [
      'SECURITY 24: what unpacks',
      FILTER,
      'bytes += member.size + TAR_BLOCK;',
      'for await (const piece of members.content()) bytes += piece.length;\n    bytes += TAR_BLOCK;',
    ],
    [
      'SECURITY 24: what unpacks',
      TAR,
      "!(await this.#more())) throw this.#refused('it ends in the middle');",
      '!(await this.#more())) return Buffer.alloc(bytes);',
    ],
    ['SECURITY 24: what unpacks', TAR, 'if (octal(block, 148, 156) !== checksum(block))', 'if (false)'],
    ['SECURITY 24: of extended', TAR, "'size', 'uid',", "'size',"],
    ['SECURITY 24: of extended', TAR, 'if (size > MOST_EXTENDED_BYTES)', 'if (false)'],
    ['SECURITY 24: of extended', TAR, 'if (headers === MOST_EXTENDED)', 'if (false)'],
    ['SECURITY 24: of extended', TAR, 'this.#extendedBytes += TAR_BLOCK + size;', ''],
    ['SECURITY 24: of extended', TAR, 'await setImmediate(); // many', '// many'],
    [
      'SECURITY 25: a global header',
      TAR,
      "else if (kind === 'x') this.#readPax(value, own);",
      'else this.#readPax(value, own);',
    ],
    ['SECURITY 25: what a layer takes', FILTER, 'if (this[kind].has(text)) return;', ''],
    ['SECURITY 25: what a layer takes', FILTER, 'parts.length > MOST_PARTS || ', ''],
    ['SECURITY 25: what a layer takes', FILTER, ' || parts.some(({ length }) => length > MOST_PART)', ''],
    ['SECURITY 25: what a layer takes', FILTER, 'if (this.#bytes > MOST_WHITEOUT_BYTES)', 'if (false)'],
    ['SECURITY 25: what a layer takes', FILTER, 'path.length + PART_BYTES * parts.length', 'path.length'],
    ['SECURITY 25: what a layer takes', FILTER, 'path.length + PART_BYTES * parts.length', 'PART_BYTES * parts.length'],
  ]),
  ...noticedBy('test/unit/cell/layer-files.test.ts', [
    [
      'SECURITY 25: what an archive left',
      LAYER_FILES,
      'signal.throwIfAborted();\n      setOpaque(await',
      'setOpaque(await',
    ],
    ['SECURITY 25: what an archive left', LAYER_FILES, 'signal.throwIfAborted();\n      const names', 'const names'],
    ['SECURITY 25: what an archive left', LAYER_FILES, 'signal.throwIfAborted();\n      if (name', 'if (name'],
    ['SECURITY 25: a whiteout whose path', LAYER_FILES, "if (errno === 'ENAMETOOLONG')", 'if (false)'],
    [
      'SECURITY 25: a whiteout whose path',
      LAYER_FILES,
      "cause instanceof CupolaError ? cause.fields['errno'] : codeOf(cause)",
      'codeOf(cause)',
    ],
    [
      'SECURITY 25: a whiteout whose path',
      LAYER_FILES,
      "cause instanceof CupolaError ? cause.fields['errno'] : codeOf(cause)",
      "cause instanceof CupolaError && cause.fields['errno']",
    ],
  ]),
  ...noticedBy('test/integration/cell/garden-layers.test.ts', [
    [
      'SECURITY 25: what a layer takes',
      UNPACKING,
      'parts.uidRangeBase, signal);\n}',
      'parts.uidRangeBase, new AbortController().signal);\n}',
    ],
    ['SECURITY 25: a layer that takes away', LAYER_FILES, "if (errno !== 'ENOSPC')", 'if (true)'],
  ]),
  ...noticedBy('test/unit/cell/image-store.test.ts', [
    [
      'SECURITY 24: what began to come',
      STORE,
      'if (!proven.has(layer.digest)) await',
      'if (!source.opened && !proven.has(layer.digest)) await',
    ],
    [
      'SECURITY 24: what began to come',
      STORE,
      "return blob.once('end', () => this.#proofs.add(this));",
      'this.#proofs.add(this);\n    return blob;',
    ],
    ['SECURITY 24: the proof of one origin', PROOFS, 'return `${origin} ${digest}`;', 'return digest + typeof origin;'],
  ]),
  ...noticedBy('test/unit/cell/layer-proofs.test.ts', [
    ['SECURITY 24: a proof holds', PROOFS, 'return `${origin} ${digest}`;', 'return digest + typeof origin;'],
    ['SECURITY 24: a proof holds', PROOFS, 'return `${origin} ${digest}`;', 'return origin + typeof digest;'],
    ['who waits for another', PROOFS, 'await unlessAborted(reading.done, signal)', 'await reading.done'],
    ['SECURITY 25: of proofs', PROOFS, 'this.#seen.delete(oldest);', ''],
  ]),
  ...noticedBy('test/unit/cell/images.test.ts', [
    ['SECURITY 28: what is no image', REFERENCE, "if (text.includes('://'))", 'if (false)'],
    ['SECURITY 28: what is no image', REFERENCE, 'if (!HOST.test(registry))', 'if (false)'],
    ['SECURITY 28: what is no image', REFERENCE, 'repository.length > 255 ||', ''],
    ['SECURITY 28: what is no image', REFERENCE, ' || !REPOSITORY.test(repository)', ''],
    ['SECURITY 28: what is no image', REFERENCE, 'more.length > 0 || tags.length > 0', 'more.length > 0'],
    ['SECURITY 28: what is no image', REFERENCE, 'more.length > 0 || tags.length > 0', 'tags.length > 0'],
    ['SECURITY 28: what is no image', REFERENCE, 'if (tag !== undefined && !TAG.test(tag))', 'if (false)'],
    ['SECURITY 28: what is no image', REFERENCE, 'if (digest !== undefined && !DIGEST.test(digest))', 'if (false)'],
    ['SECURITY 28: addresses', ADDRESSES, "  ['10.0.0.0', 8],\n", ''],
    ['SECURITY 28: addresses', ADDRESSES, "  ['2002::', 16],\n", ''],
    ['SECURITY 28: addresses', ADDRESSES, " || (type === 'ipv6' && !open.check(address, 'ipv6'))", ''],
    ['SECURITY 28: addresses', ADDRESSES, 'if (family === 0) return true;', 'if (family === 0) return false;'],
    ['SECURITY 28: addresses', ADDRESSES, 'of METADATA_RANGES) {', 'of METADATA_RANGES.slice(0, 1)) {'],
    ['SECURITY 28: addresses', ADDRESSES, 'of } of own) {', 'of } of own.slice(0, 0)) {'],
    ['SECURITY 28: addresses', ADDRESSES, "one.replace(/%.*$/, '')", "one.replace(/%.*$/, '1')"],
  ]),
  ...noticedBy('test/integration/cell/image-registries.test.ts', [
    ['SECURITY 28: no registry', ACCESS, 'if (!internal) refuseInternalLiteral(url.hostname);', ''],
    ['SECURITY 28: no registry', ACCESS, '...(internal ? {} : { lookup: lookupPublic }),', ''],
    [
      'SECURITY 28: no registry',
      ACCESS,
      'const insecure = this.#isListed(this.#settings.insecure, host);',
      'const insecure = this.#settings.insecure.length > 0;',
    ],
    ['SECURITY 28: no registry', ACCESS, '(plain && insecure)', 'plain'],
    ['SECURITY 28: no registry', ACCESS, 'internal = insecure ||', 'internal = this.#settings.insecure.length > 0 ||'],
    ['SECURITY 28: a password', ACCESS, 'if (next.origin !== target.origin) sent = withoutAuthorization(sent);', ''],
    [
      'SECURITY 28: a password',
      CLIENT,
      'throw refusal(response.statusCode ?? 0);',
      'throw Object.assign(refusal(response.statusCode ?? 0), { request: response.req });',
    ],
  ]),
  ...noticedBy('test/integration/cell/images.test.ts', [
    [
      'SECURITY 24: another’s cached layer',
      STORE,
      'if (!proven.has(layer.digest)) await this.#proofs.prove(source, signal);',
      '',
    ],
    ['SECURITY 24: another’s cached layer', STORE, 'const name = [registry, repository, ...', 'const name = [...'],
    ['SECURITY 24: another’s cached layer', CLIENT, "expected: digest.slice('sha256:'.length), ", ''],
    [
      'SECURITY 24: what a layer does',
      UNPACKING,
      "const owners = ['--numeric-owner',",
      "const owners = ['--absolute-names', '--numeric-owner',",
    ],
    ['SECURITY 24: what a layer does', FILTER, " || parts.includes('..')", ''],
    [
      'SECURITY 24: what a layer does',
      LAYER_FILES,
      'if (found?.isDirectory()) continue;\n    if (found)',
      'if (found) continue;\n    if (found)',
    ],
    ['SECURITY 24: bombs end', FILTER, 'bytes + members.extendedBytes > limits.unpackedBytes', 'false'],
    ['SECURITY 24: bombs end', FILTER, 'entries > limits.entries ||', ''],
    ['SECURITY 24: bombs end', LAYERS, 'await removeDirectory(directory);\n      throw error;', 'throw error;'],
    ['SECURITY 24: bombs end', UNPACKING, '} finally {\n      await removeContainer(parts, name);\n    }', '}'],
    ['SECURITY 24: content that is not', STORE, "expected: this.#diffId.slice('sha256:'.length),", ''],
    ['SECURITY 24: content that is not', STORE, 'if (config.diffIds.length !== manifest.layers.length)', 'if (false)'],
    ['SECURITY 24: content that is not', CLIENT, "expected: digest.slice('sha256:'.length), ", ''],
    ['SECURITY 24: content that is not', CLIENT, ', maximum: size }', ' }'],
    ['SECURITY 24: content that is not', CLIENT, 'return text(checked(body, digest, size));', 'return text(body);'],
    ['SECURITY 24: content that is not', CLIENT, "if (name.startsWith('sha256:') && name !== digest)", 'if (false)'],
  ]),
];
// biome-ignore-end lint/suspicious/noTemplateCurlyInString: the code's own text
