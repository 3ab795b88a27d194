import type { IncomingMessage } from 'node:http';
import type { FastifyReply } from 'fastify';
import { clientAddress } from '../kit/http.ts';
import { type Allowance, RateLimiter } from '../kit/rate.ts';
import { type Caller, callerOf, checkScope, mayDo, ownerKey, type Sender, senderOf } from './authorization.ts';
import type { Context } from './context.ts';
import { CfError, notAuthorized } from './errors.ts';
import { REQUEST_LIMITS } from './limits.ts';
import { type OperationId, permissionOf } from './permissions.ts';
import { rememberUser } from './users/store.ts';

type Headers = Pick<FastifyReply, 'header'>;

/** Whom a request counts for: a user, a client, or the address of somebody unknown. */
export function callerKey(caller: Pick<Caller, 'actor'> | null, request: IncomingMessage): string {
  return caller ? ownerKey(caller.actor) : `address ${clientAddress(request)}`;
}

/** Lets requests in by their headers alone: token, rate, scope, and what the table says before anything is looked up. */
export class Admission {
  readonly #context: Context;
  readonly #callers: RateLimiter | null;
  readonly #anonymous: RateLimiter | null;

  constructor(context: Context) {
    this.#context = context;
    const { caller, anonymous } = { ...REQUEST_LIMITS, ...context.settings.requestLimits };
    this.#callers = caller && new RateLimiter(caller);
    this.#anonymous = anonymous && new RateLimiter(anonymous);
  }

  /** Who calls; null for an operation that asks for no token. Throws NotAuthenticated, InvalidAuthToken, NotAuthorized, RateLimitExceeded. */
  async pass(id: OperationId, request: IncomingMessage, reply: Headers): Promise<Caller | null> {
    const permission = permissionOf(id);
    if (permission.scope === 'public') {
      this.passUnknown(request, reply);
      return null;
    }
    const sender = await this.#authenticated(request, reply);
    // Before its scope and its roles: what it may not do counts too, and nothing is looked up for more than it may send.
    this.#count(sender, request, reply);
    checkScope(sender, request.method ?? '');
    const caller = await callerOf(sender, this.#context.users);
    if (permission.scope === 'platform' && !mayDo(id, caller)) throw notAuthorized();
    if (caller.userGuid !== null) await rememberUser(this.#context.db, caller.userGuid);
    return caller;
  }

  /** Counts a request whose sender is not known for its address. Throws IPBasedRateLimitExceeded. */
  passUnknown(request: IncomingMessage, reply: Headers): void {
    const allowance = this.#anonymous?.take(callerKey(null, request));
    if (!allowance || allowance.allowed) return;
    tell(allowance, reply);
    throw new CfError(
      'IPBasedRateLimitExceeded',
      'Rate Limit Exceeded: Unauthenticated requests from this IP address have exceeded the limit. Please log in.',
    );
  }

  async #authenticated(request: IncomingMessage, reply: Headers): Promise<Sender> {
    try {
      return await senderOf(request.headers.authorization, this.#context.tokens);
    } catch (error) {
      if (error instanceof CfError) this.passUnknown(request, reply);
      throw error;
    }
  }

  /** As in the reference, administrators are not counted. */
  #count(caller: Sender, request: IncomingMessage, reply: Headers): void {
    if (caller.globalRoles.has('admin') || caller.globalRoles.has('admin_read_only')) return;
    const allowance = this.#callers?.take(callerKey(caller, request));
    if (!allowance) return;
    tell(allowance, reply);
    if (!allowance.allowed) throw new CfError('RateLimitExceeded', 'Rate Limit Exceeded');
  }
}

/** The three headers of the v3 reference ("Rate limiting"), and when to come back. */
function tell(allowance: Allowance, reply: Headers): void {
  reply.header('X-RateLimit-Limit', String(allowance.limit));
  reply.header('X-RateLimit-Remaining', String(allowance.remaining));
  reply.header('X-RateLimit-Reset', String(Math.ceil((Date.now() + allowance.resetMs) / 1_000)));
  if (!allowance.allowed) reply.header('Retry-After', String(Math.max(1, Math.ceil(allowance.waitMs / 1_000))));
}
