/** TLS of every platform listener and client: 1.2 or newer, few strong suites (TLS-04, TLS-05). */
export const MINIMUM_TLS_VERSION = 'TLSv1.2' as const;

export const CIPHER_SUITES_TLS12 = [
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
] as const;
export const CIPHER_SUITES_TLS13 = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
] as const;

/** A component's own certificate chain and key, and the roots it accepts peers under. All PEM. */
export interface Identity {
  cert: string;
  key: string;
  ca: string;
}

/** Options of node:tls, node:https and node:http2 for a component. */
export function tlsOptions(identity: Identity): {
  cert: string;
  key: string;
  ca: string;
  minVersion: 'TLSv1.2';
  ciphers: string;
} {
  return {
    cert: identity.cert,
    key: identity.key,
    ca: identity.ca,
    minVersion: MINIMUM_TLS_VERSION,
    ciphers: [...CIPHER_SUITES_TLS13, ...CIPHER_SUITES_TLS12].join(':'),
  };
}
