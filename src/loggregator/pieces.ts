/** A piece of memory with the bytes of many lines, one after the other. */
export interface Piece {
  readonly bytes: Buffer;
  used: number;
  /** Lines whose bytes are still wanted. */
  lines: number;
}

const PIECE_BYTES = 16 * 1024;
/** Of a source that writes little. */
const FIRST_BYTES = 1024;
/**
 * Pieces come from the system so many at once: one by one they would lie among what calls take for a moment, and nothing of that could
 * be given back. They are used again and never given back, as many as lines were kept at once.
 */
const PIECES_AT_ONCE = 64;

const spare: Buffer[] = [];

const NONE: Piece = { bytes: Buffer.alloc(0), used: 0, lines: 0 };

/** Where the bytes of one source lie: outside of the heap, in which each line would be looked at again and again. */
export class Pieces {
  #current = NONE;

  /** A piece with room for as much behind what is used; the line that is put there is counted. */
  roomFor(length: number): Piece {
    const former = this.#current.bytes.length;
    if (former - this.#current.used < length) this.#current = { bytes: memoryFor(length, former), used: 0, lines: 0 };
    this.#current.lines += 1;
    return this.#current;
  }

  /** A line of it is wanted no more. */
  release(piece: Piece): void {
    piece.lines -= 1;
    if (piece.lines > 0) return;
    if (piece === this.#current) this.#current = NONE;
    if (piece.bytes.length === PIECE_BYTES) spare.push(piece.bytes);
  }
}

/** For a source whose piece until now has `former` bytes. */
function memoryFor(length: number, former: number): Buffer {
  if (length > PIECE_BYTES) return Buffer.allocUnsafeSlow(length);
  const wanted = Math.max(FIRST_BYTES, 2 * former, length);
  if (wanted < PIECE_BYTES) return Buffer.allocUnsafeSlow(wanted);
  if (spare.length === 0) {
    const memory = Buffer.allocUnsafeSlow(PIECES_AT_ONCE * PIECE_BYTES);
    for (let at = 0; at < memory.length; at += PIECE_BYTES) spare.push(memory.subarray(at, at + PIECE_BYTES));
  }
  return spare.pop()!;
}
