import { Code, ConnectError } from '@connectrpc/connect';
import { UaaUnavailableError } from '../contracts/uaa-unavailable.ts';
import { isTransient as isTransientFailure } from '../kit/database.ts';
import { CupolaError, codeOf } from '../kit/errors.ts';
import { type HttpRefusal, type RefusalKind, refusalOf } from '../kit/refusal.ts';

/** The closed set of what the API answers when it refuses: code, title and status as the v3 API reference lists them. */
export const CF_ERRORS = {
  InvalidAuthToken: { code: 1000, status: 401 },
  MessageParseError: { code: 1001, status: 400 },
  InvalidRelation: { code: 1002, status: 400 },
  InvalidContentType: { code: 1003, status: 400 },
  BadRequest: { code: 1004, status: 400 },
  NotFound: { code: 10000, status: 404 },
  UnknownError: { code: 10001, status: 500 },
  NotAuthenticated: { code: 10002, status: 401 },
  NotAuthorized: { code: 10003, status: 403 },
  InvalidRequest: { code: 10004, status: 400 },
  BadQueryParameter: { code: 10005, status: 400 },
  UnprocessableEntity: { code: 10008, status: 422 },
  ResourceNotFound: { code: 10010, status: 404 },
  RateLimitExceeded: { code: 10013, status: 429 },
  IPBasedRateLimitExceeded: { code: 10014, status: 429 },
  ServiceUnavailable: { code: 10015, status: 503 },
  UniquenessError: { code: 10016, status: 422 },
  OrgSuspended: { code: 10017, status: 403 },
  ResourceBeingDeleted: { code: 10020, status: 422 },
  UaaUnavailable: { code: 20004, status: 503 },
  AsyncServiceInstanceOperationInProgress: { code: 60016, status: 409 },
  AppMemoryQuotaExceeded: { code: 100005, status: 400 },
  PackageBitsAlreadyUploaded: { code: 150004, status: 400 },
  BlobstoreUnavailable: { code: 150006, status: 502 },
  InsufficientRunningResourcesAvailable: { code: 150003, status: 503 },
  AppBitsUploadInvalid: { code: 160001, status: 400 },
  StagingError: { code: 170001, status: 400 },
  NoAppDetectedError: { code: 170003, status: 400 },
  BuildpackCompileFailed: { code: 170004, status: 400 },
  BuildpackReleaseFailed: { code: 170005, status: 400 },
  StagingTimeExpired: { code: 170007, status: 504 },
  NoBuildpacksFound: { code: 170006, status: 400 },
  InsufficientResources: { code: 170008, status: 400 },
  InstancesUnavailable: { code: 220002, status: 503 },
  BuildpackBitsUploadInvalid: { code: 290002, status: 400 },
  BuildpackStacksDontMatch: { code: 390011, status: 422 },
  BuildpackStackDoesNotExist: { code: 390012, status: 422 },
  BuildpackZipError: { code: 390013, status: 422 },
  SpaceDeletionFailed: { code: 290008, status: 502 },
  OrganizationDeletionFailed: { code: 290010, status: 502 },
  FeatureDisabled: { code: 330002, status: 403 },
} as const;

export type CfErrorName = keyof typeof CF_ERRORS;

/** One entry of `{"errors": […]}`, on the wire and in a failed job. */
export interface ErrorBody {
  code: number;
  title: string;
  detail: string;
}

/** A refusal the caller may read: `detail` is shown to them word for word. */
export class CfError extends CupolaError {
  readonly title: CfErrorName;
  readonly detail: string;
  /** Differs from the title's own status in few cases (408, 413, 415). */
  readonly status: number;

  constructor(title: CfErrorName, detail: string, options: { status?: number; cause?: unknown } = {}) {
    super(title, detail, { cause: options.cause });
    this.title = title;
    this.detail = detail;
    this.status = options.status ?? CF_ERRORS[title].status;
  }

  body(): ErrorBody {
    return { code: CF_ERRORS[this.title].code, title: `CF-${this.title}`, detail: this.detail };
  }
}

/** Whether it says no to this caller, and not that the API cannot tell now. */
export function isRefusal(error: unknown): boolean {
  return error instanceof CfError && error.status < 500;
}

/** 422: the request was understood and cannot be done. */
export function unprocessable(detail: string): CfError {
  return new CfError('UnprocessableEntity', detail);
}

/** 404 with the resource's own words: "Organization not found". Also the answer where the caller may not see it (RBAC-02). */
export function notFound(resource: string): CfError {
  return new CfError('ResourceNotFound', `${resource} not found`);
}

/** 403: the caller sees the resource and may not do this to it. */
export function notAuthorized(): CfError {
  return new CfError('NotAuthorized', 'You are not authorized to perform the requested action');
}

export function badQuery(detail: string): CfError {
  return new CfError('BadQueryParameter', `The query parameter is invalid: ${detail}`);
}

/** 422 for an app named in a body that does not exist or that the caller may not see. */
export function invalidApp(): CfError {
  return unprocessable('App is invalid. Ensure it exists and you have access to it.');
}

/** 422 for a space named in a body that does not exist or that the caller may not see. */
export function invalidSpace(): CfError {
  return unprocessable('Invalid space. Ensure that the space exists and you have access to it.');
}

/** 422 for an organization named in a body that does not exist or that the caller may not see. */
export function invalidOrganization(): CfError {
  return unprocessable('Invalid organization. Ensure that the organization exists and you have access to it.');
}

/** How the API names what is refused before an operation runs. */
const REFUSALS: Readonly<Record<RefusalKind, CfErrorName>> = {
  malformed_address: 'BadQueryParameter',
  forbidden_character: 'BadQueryParameter',
  unknown_path: 'NotFound',
  malformed_request: 'MessageParseError',
  body_too_slow: 'InvalidRequest',
  body_too_large: 'InvalidRequest',
  unsupported_type: 'InvalidContentType',
  answer_too_large: 'UnprocessableEntity',
  too_many_bodies: 'RateLimitExceeded',
  too_many_answers: 'RateLimitExceeded',
  too_many_requests: 'RateLimitExceeded',
  overloaded: 'ServiceUnavailable',
};

function refused(refusal: HttpRefusal): CfError {
  const title = REFUSALS[refusal.kind];
  const sentence = refusal.message.charAt(0).toUpperCase() + refusal.message.slice(1);
  const options = { status: refusal.status, cause: refusal };
  switch (title) {
    case 'NotFound':
      return new CfError(title, 'Unknown request', options);
    case 'MessageParseError':
      return new CfError(title, `Request invalid due to parse error: ${refusal.message}`, options);
    case 'BadQueryParameter':
      return new CfError(title, `The query parameter is invalid: ${refusal.message}`, options);
    default:
      return new CfError(title, sentence, options);
  }
}

/** What only UAA knows cannot be had now. */
export function uaaUnavailable(cause: UaaUnavailableError): CfError {
  return new CfError('UaaUnavailable', 'The UAA service is currently unavailable', { cause });
}

/** What anything thrown looks like outside; the inside of unknown errors never leaves. */
export function publicError(error: unknown): CfError {
  if (error instanceof CfError) return error;
  const refusal = refusalOf(error);
  if (refusal) return refused(refusal);
  if (error instanceof UaaUnavailableError) return uaaUnavailable(error);
  if (isTransient(error))
    return new CfError('ServiceUnavailable', 'The platform cannot do this at the moment. Try again later.', {
      cause: error,
    });
  return new CfError('UnknownError', 'An unknown error occurred.', { cause: error });
}

/** Is it nothing that was said to this caller on purpose, so that the operator must hear of it? */
export function isFault(error: unknown): boolean {
  return !(error instanceof CfError) && refusalOf(error) === null;
}

/** Is this PostgreSQL's refusal of a duplicate in that constraint or index? */
export function isUniqueViolation(error: unknown, constraint: string): boolean {
  return violates(error, '23505', constraint);
}

/** Is this PostgreSQL's refusal because something still refers to the row, or because what the row refers to is gone? */
export function isForeignKeyViolation(error: unknown): boolean {
  return codeOf(error) === '23503';
}

/** A room in another process is being started again. */
const AWAY: ReadonlySet<Code> = new Set([Code.Unavailable, Code.DeadlineExceeded]);

/** Will it perhaps do in a moment: the database was away, had no room or took somebody else first, or another service is away? */
export function isTransient(error: unknown): boolean {
  if (error instanceof CfError && error.status >= 502 && error.status <= 503) return true;
  if (error instanceof ConnectError && AWAY.has(error.code)) return true;
  return isTransientFailure(error) || (error instanceof Error && error.cause !== undefined && isTransient(error.cause));
}

function violates(error: unknown, code: string, constraint: string): boolean {
  if (!(error instanceof Error) || !('code' in error) || !('constraint' in error)) return false;
  return error.code === code && error.constraint === constraint;
}
