import type { FastifyRequest } from 'fastify';
import { nowFor } from '../../kit/database-shares.ts';
import { clientCredentialsOf } from '../clients/secrets.ts';
import { UaaError } from '../errors.ts';
import type { Genuine, LiveToken } from '../oauth/token-verifier.ts';
import type { Requirement } from '../permissions.ts';
import type { Services } from '../services.ts';
import type { Gate } from './app.ts';
import { askerOf } from './asker.ts';

/** Who a call was let through for. */
export class Callers {
  readonly #tokens = new WeakMap<FastifyRequest, LiveToken>();

  set(request: FastifyRequest, token: LiveToken): void {
    this.#tokens.set(request, token);
  }

  /** The caller's token. Throws `unauthorized` in an operation that asks for none. */
  of(request: FastifyRequest): LiveToken {
    return this.#tokens.get(request) ?? unauthenticated();
  }
}

/** Holds each call against its row in the permission table. */
export function createGate(services: Pick<Services, 'verifier' | 'secrets'>, callers: Callers): Gate {
  const shownToken = async (request: FastifyRequest, kind: 'access' | 'any'): Promise<LiveToken> => {
    const token = await services.verifier[kind](bearerOf(request), itsShare);
    callers.set(request, token);
    return token;
  };
  return async (requirement: Requirement, request: FastifyRequest): Promise<void> => {
    switch (requirement.rule) {
      case 'anyone':
      case 'client':
        return;
      case 'client with': {
        const credentials = clientCredentialsOf(request.headers.authorization, null);
        if (!credentials) return unauthenticated();
        const client = await services.secrets.authenticate(credentials, askerOf(request.raw));
        itsShare({ userId: null, clientId: client.client_id });
        const may =
          client.secret_hashes.length > 0 && requirement.authorities.some((name) => client.authorities.includes(name));
        return may ? undefined : insufficient(requirement.authorities);
      }
      case 'token':
        await shownToken(request, 'access');
        return;
      case 'own token': {
        const token = await shownToken(request, 'any');
        if (parameter(request, 'tokenId') === token.jti) return;
        const may = token.kind === 'access' && requirement.scopes.some((name) => token.scopes.includes(name));
        return may ? undefined : insufficient(requirement.scopes);
      }
      case 'scopes': {
        const token = await shownToken(request, 'access');
        if (requirement.scopes.some((name) => token.scopes.includes(name))) return;
        // By the user of the token alone: a client whose id is a user's GUID is still no user.
        if (requirement.self && token.user !== null && token.user.id === parameter(request, 'id')) return;
        return insufficient(requirement.scopes);
      }
    }
  };
}

/** From here on it is the user who takes of the database, or the client in its own name, wherever they call from. */
const itsShare: Genuine = ({ userId, clientId }) => nowFor(`actor ${userId ?? clientId}`);

/** The token of `Authorization: Bearer`. Throws `unauthorized` where there is none. */
function bearerOf(request: FastifyRequest): string {
  return /^bearer +([\w.~+/=-]+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? unauthenticated();
}

function parameter(request: FastifyRequest, name: string): unknown {
  const params: unknown = request.params;
  return params !== null && typeof params === 'object' && name in params
    ? Object.getOwnPropertyDescriptor(params, name)?.value
    : undefined;
}

function unauthenticated(): never {
  throw new UaaError('unauthorized', 'Full authentication is required to access this resource');
}

function insufficient(scopes: readonly string[]): never {
  throw new UaaError('insufficient_scope', 'Insufficient scope for this resource', {
    extra: { scope: scopes.join(' ') },
  });
}
