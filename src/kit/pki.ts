import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

x509.cryptoProvider.set(webcrypto);

const EC = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

/** How far before its issue a certificate begins: it stays good when a clock, the issuer's or the reader's, is set back. Milliseconds. */
export const CLOCK_STEP_MS = 2 * 3_600_000;

/** A certificate (leaf first, intermediates after, without the root) and its PKCS #8 key, both PEM. */
export interface KeyAndCertificate {
  cert: string;
  key: string;
}

export interface IssueOptions {
  commonName: string;
  organizationalUnits?: readonly string[];
  dnsNames?: readonly string[];
  ipAddresses?: readonly string[];
  notBefore: Date;
  notAfter: Date;
  /** Both by default: platform components are server and client of each other. */
  usages?: readonly ('server' | 'client')[];
}

/** A self-signed root. `pathLength` says how many intermediates may follow. */
export async function createRoot(
  commonName: string,
  notBefore: Date,
  notAfter: Date,
  pathLength = 1,
): Promise<KeyAndCertificate> {
  const keys = await generate();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: [{ CN: [commonName] }],
    notBefore,
    notAfter,
    signingAlgorithm: EC,
    keys,
    extensions: authorityExtensions(pathLength),
  });
  return { cert: certificate.toString('pem'), key: await exportKey(keys) };
}

/** An authority under another; its certificate is to be sent after the leaf's. */
export async function createIntermediate(
  parent: KeyAndCertificate,
  commonName: string,
  notBefore: Date,
  notAfter: Date,
): Promise<KeyAndCertificate> {
  const keys = await generate();
  const certificate = await sign(parent, keys, [{ CN: [commonName] }], notBefore, notAfter, authorityExtensions(0));
  return { cert: certificate.toString('pem'), key: await exportKey(keys) };
}

/** A leaf. Where `parent` is an intermediate its certificate is appended, so that the chain is complete below the root. */
export async function issue(
  parent: KeyAndCertificate & { isRoot?: boolean },
  options: IssueOptions,
): Promise<KeyAndCertificate> {
  const keys = await generate();
  const usages = options.usages ?? ['server', 'client'];
  const names = [
    ...(options.dnsNames ?? []).map((value) => ({ type: 'dns' as const, value })),
    ...(options.ipAddresses ?? []).map((value) => ({ type: 'ip' as const, value })),
  ];
  const certificate = await sign(
    parent,
    keys,
    [{ CN: [options.commonName] }, ...(options.organizationalUnits ?? []).map((unit) => ({ OU: [unit] }))],
    options.notBefore,
    options.notAfter,
    [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyAgreement, true),
      new x509.ExtendedKeyUsageExtension(
        usages.map((usage) =>
          usage === 'server' ? x509.ExtendedKeyUsage.serverAuth : x509.ExtendedKeyUsage.clientAuth,
        ),
      ),
      ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
    ],
  );
  const chain = selfSigned(parent.cert) ? '' : parent.cert.trimEnd();
  return { cert: `${certificate.toString('pem').trimEnd()}\n${chain}${chain ? '\n' : ''}`, key: await exportKey(keys) };
}

/** Each certificate of a PEM text on its own, ending in a line feed. */
export function certificatesIn(pem: string): string[] {
  const found = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? [];
  return found.map((certificate) => `${certificate}\n`);
}

/**
 * A certificate for the key of `next` under `former`: sent after a leaf of `next`, it leads whoever trusts `former` alone to
 * that leaf. `former` must allow an intermediate.
 */
export async function crossSign(former: KeyAndCertificate, next: KeyAndCertificate, notAfter: Date): Promise<string> {
  const root = new x509.X509Certificate(next.cert);
  const issuer = new x509.X509Certificate(former.cert);
  const signingKey = await webcrypto.subtle.importKey('pkcs8', x509.PemConverter.decodeFirst(former.key), EC, false, [
    'sign',
  ]);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial(),
    subject: root.subject,
    issuer: issuer.subject,
    notBefore: new Date(Date.now() - CLOCK_STEP_MS),
    notAfter,
    signingAlgorithm: EC,
    publicKey: root.publicKey,
    signingKey: signingKey,
    extensions: [...authorityExtensions(0), await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey)],
  });
  return `${certificate.toString('pem').trimEnd()}\n`;
}

function selfSigned(pem: string): boolean {
  const certificate = new x509.X509Certificate(pem);
  return certificate.subject === certificate.issuer;
}

async function sign(
  parent: KeyAndCertificate,
  keys: webcrypto.CryptoKeyPair,
  subject: x509.JsonName,
  notBefore: Date,
  notAfter: Date,
  extensions: x509.Extension[],
): Promise<x509.X509Certificate> {
  const issuer = new x509.X509Certificate(parent.cert);
  const signingKey = await webcrypto.subtle.importKey('pkcs8', x509.PemConverter.decodeFirst(parent.key), EC, false, [
    'sign',
  ]);
  return x509.X509CertificateGenerator.create({
    serialNumber: serial(),
    subject,
    issuer: issuer.subject,
    notBefore,
    notAfter,
    signingAlgorithm: EC,
    publicKey: keys.publicKey,
    signingKey: signingKey,
    extensions: [...extensions, await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey)],
  });
}

function authorityExtensions(pathLength: number): x509.Extension[] {
  return [
    new x509.BasicConstraintsExtension(true, pathLength, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
  ];
}

function generate(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(EC, true, ['sign', 'verify']) as Promise<webcrypto.CryptoKeyPair>;
}

async function exportKey(keys: webcrypto.CryptoKeyPair): Promise<string> {
  const der = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  return x509.PemConverter.encode(der, 'PRIVATE KEY');
}

/** 16 random bytes with the top bit clear: positive and unguessable (CA/Browser Forum 7.1). */
function serial(): string {
  const bytes = randomBytes(16);
  bytes[0] = bytes[0]! & 0x7f;
  return bytes.toString('hex');
}
