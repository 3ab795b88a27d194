import { createHash, createPublicKey } from 'node:crypto';
import type { JSONWebKeySet, JWK } from 'jose';

/** A public key as UAA publishes it: as RFC 7517 says, and once more in PEM, which older clients read. */
export type PublishedKey = JWK & { value: string };

const published = new WeakMap<JSONWebKeySet, PublishedKey[]>();

/** The keys of a set with their PEM; worked out once for each set. */
export function publishedKeys(set: JSONWebKeySet): PublishedKey[] {
  const known = published.get(set);
  if (known) return known;
  const keys = set.keys.map((jwk) => {
    const pem = createPublicKey({ key: { ...jwk }, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
    return { ...jwk, value: pem.toString().trimEnd() };
  });
  published.set(set, keys);
  return keys;
}

/** RFC 9110 section 8.8.3: the same for the same keys, in every process. */
export function entityTagOf(keys: readonly PublishedKey[]): string {
  const ids = JSON.stringify(keys.map(({ kid, value }) => [kid, value]));
  return `"${createHash('sha256').update(ids).digest('hex').slice(0, 32)}"`;
}

/** RFC 9110 section 13.1.2, where some send the tag without its quotes. */
export function matchesEntityTag(ifNoneMatch: string | undefined, tag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  const bare = (text: string): string => text.trim().replace(/^W\//, '').replaceAll('"', '');
  return ifNoneMatch.split(',').some((one) => bare(one) === '*' || bare(one) === bare(tag));
}
