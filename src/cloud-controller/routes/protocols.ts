import type { Settings } from '../context.ts';
import { unprocessable } from '../errors.ts';

export const HTTP2_IS_OFF =
  "protocol 'http2' is switched off on this platform: its router speaks HTTP/1.1 to apps. The operator can switch it on.";

/** Throws where the router does not speak this to apps. */
export function requireProtocol({ http2Apps }: Pick<Settings, 'http2Apps'>, protocol: string | null | undefined): void {
  if (protocol === 'http2' && !http2Apps) throw unprocessable(`Destination ${HTTP2_IS_OFF}`);
}
