/** One record of conmon's k8s-file log: "<RFC 3339 with nanoseconds> stdout|stderr P|F <bytes>". */
export interface LogRecord {
  timestampNs: bigint;
  stderr: boolean;
  /** More of the same line follows. */
  partial: boolean;
  content: Buffer;
}

const SPACE = 0x20;
const PARTIAL = 0x50;

/** Null for what is not such a record (a torn write). `line` has no line end. */
export function parseRecord(line: Buffer): LogRecord | null {
  const afterTime = line.indexOf(SPACE);
  if (afterTime < 20) return null;
  const afterStream = line.indexOf(SPACE, afterTime + 1);
  if (afterStream < 0 || line[afterStream + 2] !== SPACE) return null;
  const timestampNs = parseTime(line.toString('latin1', 0, afterTime));
  if (timestampNs === null) return null;
  return {
    timestampNs,
    stderr: line.toString('latin1', afterTime + 1, afterStream) === 'stderr',
    partial: line[afterStream + 1] === PARTIAL,
    content: line.subarray(afterStream + 3),
  };
}

let lastSecond = '';
let lastSecondNs = 0n;

/** Lines of the same second share the costly part of the conversion. */
function parseTime(text: string): bigint | null {
  const fraction = text.slice(20).match(/^\d{1,9}/)?.[0] ?? '';
  const zone = text[19] === '.' ? text.slice(20 + fraction.length) : text.slice(19);
  const second = text.slice(0, 19) + zone;
  if (second !== lastSecond) {
    const milliseconds = Date.parse(second);
    if (Number.isNaN(milliseconds)) return null;
    lastSecond = second;
    lastSecondNs = BigInt(milliseconds) * 1_000_000n;
  }
  return lastSecondNs + BigInt(fraction.padEnd(9, '0') || '0');
}

/** A whole line of an app. */
export interface LogLine {
  timestampNs: bigint;
  stderr: boolean;
  payload: Buffer;
}

/** Longest payload of an envelope (as Diego's); a longer line goes on in the next. */
export const MAXIMUM_LINE_BYTES = 60 * 1024;

interface Pending {
  timestampNs: bigint;
  parts: Buffer[];
  bytes: number;
}

/** Puts the parts of long lines together again, each stream for itself, and leaves out empty lines. */
export class LineAssembler {
  #stdout: Pending | null = null;
  #stderr: Pending | null = null;

  /** True between lines: nothing is held back. */
  get idle(): boolean {
    return this.#stdout === null && this.#stderr === null;
  }

  /** The line the record completed, if it did. */
  push(record: LogRecord): LogLine | null {
    const { timestampNs, stderr, partial, content } = record;
    const pending = stderr ? this.#stderr : this.#stdout;
    if (!pending && !partial) return content.length > 0 ? { timestampNs, stderr, payload: content } : null;
    const line = pending ?? { timestampNs, parts: [], bytes: 0 };
    line.parts.push(content);
    line.bytes += content.length;
    const full = partial && line.bytes >= MAXIMUM_LINE_BYTES;
    const complete = !partial || full;
    if (stderr) this.#stderr = complete ? null : line;
    else this.#stdout = complete ? null : line;
    if (!complete || line.bytes === 0) return null;
    const payload = Buffer.concat(line.parts);
    if (!full) return { timestampNs: line.timestampNs, stderr, payload };
    // Half a character would be none in either piece: it goes on with what follows.
    const cut = characterEnd(payload);
    if (cut < payload.length) {
      const rest = { timestampNs, parts: [payload.subarray(cut)], bytes: payload.length - cut };
      if (stderr) this.#stderr = rest;
      else this.#stdout = rest;
    }
    return { timestampNs: line.timestampNs, stderr, payload: payload.subarray(0, cut) };
  }

  /** What an app left without a line end when it ended. */
  flush(): LogLine[] {
    const lines: LogLine[] = [];
    for (const [pending, stderr] of [
      [this.#stdout, false],
      [this.#stderr, true],
    ] as const) {
      if (pending && pending.bytes > 0) {
        lines.push({ timestampNs: pending.timestampNs, stderr, payload: Buffer.concat(pending.parts) });
      }
    }
    this.#stdout = null;
    this.#stderr = null;
    return lines;
  }
}

/**
 * Where the last whole UTF-8 character of the bytes ends. Bytes that are no UTF-8 pass as they are: only the beginning of a
 * character that could still be completed is cut off.
 */
function characterEnd(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back]!;
    if ((byte & 0xc0) === 0x80) continue; // goes on from the one before
    const length = byte >= 0xf0 && byte <= 0xf4 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc2 ? 2 : 1;
    return byte <= 0xf4 && length > back ? bytes.length - back : bytes.length;
  }
  return bytes.length;
}
