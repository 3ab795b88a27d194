/** Every error a client of UAA can see: the code in the body, and the status. */
export const UAA_ERRORS = {
  invalid_request: { status: 400, error: 'invalid_request' },
  invalid_scope: { status: 400, error: 'invalid_scope' },
  invalid_grant: { status: 400, error: 'invalid_grant' },
  unsupported_grant_type: { status: 400, error: 'unsupported_grant_type' },
  invalid_redirect: { status: 400, error: 'invalid_grant' },
  invalid_client_definition: { status: 400, error: 'invalid_client' },
  invalid_scim_resource: { status: 400, error: 'invalid_scim_resource' },
  invalid_filter: { status: 400, error: 'scim' },
  invalid_version: { status: 400, error: 'scim' },
  unsupported_change: { status: 400, error: 'scim' },
  /** What a resource server shows, which has proved itself: it is not the one to authenticate again. */
  invalid_checked_token: { status: 400, error: 'invalid_token' },
  weak_password: { status: 400, error: 'invalid_password' },
  unauthorized: { status: 401, error: 'unauthorized' },
  invalid_client: { status: 401, error: 'invalid_client' },
  invalid_token: { status: 401, error: 'invalid_token' },
  insufficient_scope: { status: 403, error: 'insufficient_scope' },
  access_denied: { status: 403, error: 'access_denied' },
  not_found: { status: 404, error: 'not_found' },
  scim_resource_not_found: { status: 404, error: 'scim_resource_not_found' },
  method_not_allowed: { status: 405, error: 'method_not_allowed' },
  query_string_not_allowed: { status: 406, error: 'query_string_not_allowed' },
  client_already_exists: { status: 409, error: 'invalid_client' },
  scim_resource_already_exists: { status: 409, error: 'scim_resource_already_exists' },
  scim_resource_conflict: { status: 409, error: 'scim_resource_conflict' },
  request_timeout: { status: 408, error: 'invalid_request' },
  payload_too_large: { status: 413, error: 'invalid_request' },
  unsupported_media_type: { status: 415, error: 'invalid_request' },
  refused_password: { status: 422, error: 'invalid_password' },
  too_many_requests: { status: 429, error: 'too_many_requests' },
  server_error: { status: 500, error: 'server_error' },
  temporarily_unavailable: { status: 503, error: 'temporarily_unavailable' },
} as const;

const RETRY_AFTER_SECONDS = 5;

export type UaaErrorKind = keyof typeof UAA_ERRORS;

/** A refusal as the client sees it. `reason` is for the log alone. */
export class UaaError extends Error {
  override readonly name = 'UaaError';
  readonly kind: UaaErrorKind;
  readonly description: string;
  readonly reason: string | null;
  readonly extra: Readonly<Record<string, unknown>>;
  /** When to come back, in seconds; null where that does not help. */
  readonly retryAfter: number | null;

  constructor(
    kind: UaaErrorKind,
    description: string,
    options: { reason?: string; extra?: Record<string, unknown>; cause?: unknown; retryAfter?: number } = {},
  ) {
    super(description, { cause: options.cause });
    this.kind = kind;
    this.description = description;
    this.reason = options.reason ?? null;
    this.extra = options.extra ?? {};
    this.retryAfter = options.retryAfter ?? (kind === 'temporarily_unavailable' ? RETRY_AFTER_SECONDS : null);
  }

  get status(): number {
    return UAA_ERRORS[this.kind].status;
  }

  get body(): Record<string, unknown> {
    const { error } = UAA_ERRORS[this.kind];
    const scim = error.includes('scim') ? { message: this.description } : {};
    return { error, error_description: this.description, ...scim, ...this.extra };
  }

  /** RFC 6750 section 3: what a refused bearer or client is told to bring. */
  get challenge(): string | null {
    const detail = `error="${UAA_ERRORS[this.kind].error}", error_description="${this.description.replace(/["\\\r\n]/g, "'")}"`;
    if (this.kind === 'invalid_client') return 'Basic realm="UAA/client"';
    return this.status === 401 || this.kind === 'insufficient_scope' ? `Bearer realm="oauth", ${detail}` : null;
  }
}

/** The words the command-line tool compares with. */
export const BAD_CREDENTIALS = 'Bad credentials';
export const ACCOUNT_LOCKED = 'Your account has been locked because of too many failed attempts to login.';
