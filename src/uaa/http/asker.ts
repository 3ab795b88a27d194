import type { IncomingMessage } from 'node:http';
import { clientAddress } from '../../kit/http.ts';
import { goneSignal } from '../../kit/request-end.ts';
import type { Asker } from '../users/passwords.ts';

/** Who sent a request, for as long as its connection lasts. */
export function askerOf(request: IncomingMessage): Asker {
  return { address: clientAddress(request), gone: goneSignal(request) };
}
