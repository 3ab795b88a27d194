import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readdir, readFile, rm } from 'node:fs/promises';
import { isIP } from 'node:net';
import { CupolaError } from '../../kit/errors.ts';
import { type Access, ensureFile, makeDirectory, replaceFile } from '../../kit/owned-files.ts';
import {
  type CellProxySettings,
  certificateDirectoryOf,
  certificateFileOf,
  certificateListOf,
  targetsMapOf,
} from './settings.ts';

/** Where an instance's TLS connections lead: its container's address on the overlay. */
export interface ProxyTarget {
  instanceGuid: string;
  address: string;
  port: number;
}

const GUID = /^[a-z0-9][a-z0-9-]{0,99}$/;

/**
 * The files HAProxy starts from, which are also the cell's memory of what is registered. Written so that HAProxy can start
 * from them after any interruption: a certificate is there before the list names it, and goes after.
 */
export class ProxyStore {
  readonly #settings: CellProxySettings;
  readonly #targets = new Map<string, ProxyTarget>();

  constructor(settings: CellProxySettings) {
    this.#settings = settings;
  }

  get targets(): ReadonlyMap<string, ProxyTarget> {
    return this.#targets;
  }

  /** Makes what is missing for an empty start. */
  async create(): Promise<void> {
    makeDirectory(certificateDirectoryOf(this.#settings), this.#shared(0o750));
    for (const path of [targetsMapOf(this.#settings), certificateListOf(this.#settings)]) {
      ensureFile(path, this.#shared(0o640));
    }
  }

  /** Reads what is registered, forgets what has no usable certificate, and writes the files anew. */
  async load(): Promise<void> {
    await this.create();
    const map = await readFile(targetsMapOf(this.#settings), 'utf8').catch(() => '');
    for (const line of map.split('\n').filter(Boolean)) {
      const target = parseTarget(line);
      const pem = target && (await this.certificate(target.instanceGuid));
      if (target && pem && isUsable(target.instanceGuid, pem)) this.#targets.set(target.instanceGuid, target);
    }
    await this.#writeLists();
    for (const name of await readdir(certificateDirectoryOf(this.#settings))) {
      if (!this.#targets.has(name.replace(/\.pem$/, ''))) {
        await rm(`${certificateDirectoryOf(this.#settings)}/${name}`, { force: true });
      }
    }
  }

  /** Certificate chain and key as HAProxy reads them; null where there is none. */
  async certificate(instanceGuid: string): Promise<string | null> {
    return readFile(certificateFileOf(this.#settings, instanceGuid), 'utf8').catch(() => null);
  }

  async put(target: ProxyTarget, pem: string): Promise<void> {
    await this.putCertificate(target.instanceGuid, pem);
    this.#targets.set(target.instanceGuid, target);
    await this.#writeLists();
  }

  async putCertificate(instanceGuid: string, pem: string): Promise<void> {
    replaceFile(certificateFileOf(this.#settings, instanceGuid), pem, this.#shared(0o640));
  }

  async remove(instanceGuid: string): Promise<void> {
    this.#targets.delete(instanceGuid);
    await this.#writeLists();
    await rm(certificateFileOf(this.#settings, instanceGuid), { force: true });
  }

  async #writeLists(): Promise<void> {
    const guids = [...this.#targets.keys()];
    const list = guids.map((guid) => `${certificateListLine(this.#settings, guid)}\n`).join('');
    const map = targetEntries(this.#targets).map(([name, target]) => `${name} ${target}\n`);
    replaceFile(targetsMapOf(this.#settings), map.join(''), this.#shared(0o640));
    replaceFile(certificateListOf(this.#settings), list, this.#shared(0o640));
  }

  /** The cell's, and HAProxy's account may read it. */
  #shared(mode: number): Access {
    const { account } = this.#settings;
    return { mode, owner: account && { uid: process.geteuid?.() ?? 0, gid: account.gid } };
  }
}

/** The certificate answers to the instance's GUID and to no other name it may carry. */
export function certificateListLine(settings: CellProxySettings, instanceGuid: string): string {
  return `${certificateFileOf(settings, instanceGuid)} ${instanceGuid}`;
}

/**
 * SNI → target, the map's entries. An instance has one name today, its GUID, for its route's port. Further ports would be
 * further names here (and in the certificate list), "<port>.<guid>"; the configuration stays.
 */
export function targetEntries(targets: ReadonlyMap<string, ProxyTarget>): [string, string][] {
  return [...targets.values()].map(({ instanceGuid, address, port }) => [instanceGuid, `${address}|${port}`]);
}

function parseTarget(line: string): ProxyTarget | null {
  const [instanceGuid = '', value = ''] = line.split(' ');
  const [address = '', port = ''] = value.split('|');
  const target = { instanceGuid, address, port: Number(port) };
  return isTarget(target) ? target : null;
}

function isTarget({ instanceGuid, address, port }: ProxyTarget): boolean {
  return GUID.test(instanceGuid) && isIP(address) !== 0 && Number.isInteger(port) && port > 0 && port < 65_536;
}

/** Throws `bad_proxy_target`. */
export function checkTarget(target: ProxyTarget): void {
  if (!isTarget(target)) {
    throw new CupolaError('bad_proxy_target', 'an instance needs a GUID, an IP address and a port', {
      fields: { ...target },
    });
  }
}

/**
 * Joins chain and key as HAProxy takes them. Throws `bad_instance_certificate` where they do not belong together or the
 * certificate is not the instance's: HAProxy would not start with it, or serve one instance under another's name.
 */
export function joinCertificate(instanceGuid: string, certificate: string, key: string): string {
  const pem = `${certificate.trim()}\n${key.trim()}\n`.replace(/\r/g, '').replace(/\n{2,}/g, '\n');
  if (!isUsable(instanceGuid, pem)) {
    throw new CupolaError('bad_instance_certificate', `the certificate or key of ${instanceGuid} cannot be used`);
  }
  return pem;
}

function isUsable(instanceGuid: string, pem: string): boolean {
  try {
    const certificate = new X509Certificate(pem);
    const key = /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----/.exec(pem)?.[0];
    if (!key || certificate.checkHost(instanceGuid) === undefined) return false;
    return certificate.checkPrivateKey(createPrivateKey(key));
  } catch {
    return false;
  }
}
