import type { Http2ServerRequest } from 'node:http2';
import { Code, ConnectError, type ConnectRouter, createConnectRouter } from '@connectrpc/connect';
import { BodyAccount, type BodyLimits } from './body-account.ts';
import { HttpRefusal } from './refusal.ts';

/** Messages that lie in memory until their call is answered. */
const LIMITS: BodyLimits = {
  bodies: 4_000,
  bodiesPerCaller: 2_000,
  bytes: 256 * 1024 ** 2,
  bytesPerCaller: 96 * 1024 ** 2,
};

/**
 * Keeps account of the messages of calls that have one: each is read whole, and a peer that somebody else has may send many
 * at once. Calls of many messages are bounded by their streams' windows.
 */
export class MessageAccount {
  readonly #account = new BodyAccount(LIMITS);
  readonly #paths: ReadonlySet<string>;

  constructor(routes: (router: ConnectRouter) => void) {
    const router = createConnectRouter();
    routes(router);
    const single = router.handlers.filter(({ method: { methodKind } }) =>
      /^(unary|server_streaming)$/.test(methodKind),
    );
    this.#paths = new Set(single.map(({ requestPath }) => requestPath));
  }

  /** What is read of the request counts for `caller` until its stream ends; reading throws `resource_exhausted` past the bounds. */
  count(request: Http2ServerRequest, caller: string): void {
    if (!this.#paths.has(request.url.split('?')[0] ?? '')) return;
    const { stream } = request;
    const add = counted(() => this.#account.enter(stream, caller).add);
    const chunks = request[Symbol.asyncIterator].bind(request);
    // Whoever serves the call reads the request by iterating over it.
    Object.defineProperty(request, Symbol.asyncIterator, {
      value: async function* () {
        for await (const chunk of { [Symbol.asyncIterator]: chunks }) {
          add(chunk.length);
          yield chunk;
        }
      },
    });
  }
}

/** The entry is made with the first bytes, so that what is refused is refused where it is read, and answered as a call is. */
function counted(enter: () => (bytes: number) => void): (bytes: number) => void {
  let add: ((bytes: number) => void) | undefined;
  return (bytes) => {
    try {
      add ??= enter();
      add(bytes);
    } catch (error) {
      throw error instanceof HttpRefusal ? new ConnectError(error.message, Code.ResourceExhausted) : error;
    }
  };
}
