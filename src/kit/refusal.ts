import { CupolaError } from './errors.ts';

/** Every reason for which a request is refused before an operation runs, with its status. */
const STATUS = {
  malformed_address: 400,
  forbidden_character: 400,
  unknown_path: 404,
  malformed_request: 400,
  body_too_slow: 408,
  body_too_large: 413,
  unsupported_type: 415,
  answer_too_large: 422,
  too_many_bodies: 429,
  too_many_answers: 429,
  too_many_requests: 429,
  overloaded: 503,
} as const;

/** What passes by itself in a moment. */
const SOON: ReadonlySet<string> = new Set(['too_many_bodies', 'too_many_answers', 'overloaded']);

export type RefusalKind = keyof typeof STATUS;
export const REFUSAL_KINDS = Object.keys(STATUS) as readonly RefusalKind[];

/** A request is refused at the door. The API that answers gives it its own form; the message is for the caller. */
export class HttpRefusal extends CupolaError {
  readonly kind: RefusalKind;
  readonly status: number;
  /** When to come back, in seconds; null where that does not help. */
  readonly retryAfter: number | null;

  constructor(kind: RefusalKind, message: string, options: { retryAfter?: number; cause?: unknown } = {}) {
    super(kind, message, { cause: options.cause });
    this.kind = kind;
    this.status = STATUS[kind];
    this.retryAfter = options.retryAfter ?? (SOON.has(kind) ? 5 : null);
  }
}

/** What the HTTP framework refuses by itself, as one of our reasons; what is refused already stays; null for anything else. */
export function refusalOf(error: unknown): HttpRefusal | null {
  if (error instanceof HttpRefusal) return error;
  if (!(error instanceof Error) || !('statusCode' in error) || !('code' in error)) return null;
  switch (error.code) {
    case 'FST_ERR_NOT_FOUND':
    case 'FST_ERR_MAX_PARAM_LENGTH': // nothing has a name that long
      return new HttpRefusal('unknown_path', 'there is nothing at this address', { cause: error });
    case 'FST_ERR_BAD_URL':
      return new HttpRefusal('malformed_address', 'the address is malformed', { cause: error });
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new HttpRefusal('body_too_large', 'the request body is too large', { cause: error });
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new HttpRefusal('unsupported_type', 'the content type is not supported', { cause: error });
  }
  const { statusCode } = error;
  return typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500
    ? new HttpRefusal('malformed_request', 'the request is malformed', { cause: error })
    : null;
}
