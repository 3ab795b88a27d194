/** A failure with a stable code. `message` is for the operator's log; what a client sees is decided where it is rendered. */
export class CupolaError extends Error {
  readonly code: string;
  readonly fields: Readonly<Record<string, unknown>>;

  constructor(code: string, message: string, options: { cause?: unknown; fields?: Record<string, unknown> } = {}) {
    super(message, { cause: options.cause });
    this.name = 'CupolaError';
    this.code = code;
    this.fields = options.fields ?? {};
  }
}

/** The text of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The code of whatever was thrown: the platform's own, or the system's ("ENOENT"). */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
