import { X509Certificate } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { messageOf } from '../../kit/errors.ts';
import { HaproxySocket } from '../../kit/haproxy.ts';
import type { Logger } from '../../kit/log.ts';
import { replaceFile } from '../../kit/owned-files.ts';
import { Reconciler } from '../../kit/reconcile.ts';
import { renderCellProxyConfig } from './config.ts';
import { type CellProxySettings, certificateFileOf, certificateListOf, targetsMapOf } from './settings.ts';
import {
  certificateListLine,
  checkTarget,
  joinCertificate,
  ProxyStore,
  type ProxyTarget,
  targetEntries,
} from './store.ts';

/** An instance to be served: its certificate chain (leaf first) and key, and where its container listens. */
export interface ProxiedInstance extends ProxyTarget {
  certificate: string;
  key: string;
}

export interface CellProxy {
  /**
   * Serves the instance under its GUID, now and after every restart of HAProxy or of the cell. Registering again replaces.
   * When HAProxy is away it returns all the same: the next HAProxy has it. Throws `bad_instance_certificate`, `bad_proxy_target`.
   */
  register(instance: ProxiedInstance): Promise<void>;
  /** New connections are refused; the open ones last as long as the container. */
  unregister(instanceGuid: string): Promise<void>;
  /** Puts a new certificate in the place of the old, without a refused handshake. Does nothing for an unknown instance. */
  rotate(instanceGuid: string, certificate: string, key: string): Promise<void>;
  list(): ProxyTarget[];
  /** Brings HAProxy to what is registered. Throws `haproxy_unreachable`, `haproxy_refused`. */
  reconcile(): Promise<void>;
  start(): void;
  close(): Promise<void>;
}

export interface CellProxyOptions {
  settings: CellProxySettings;
  log: Logger;
  intervalMs?: number;
}

/**
 * Writes the configuration, and the empty files a first start needs. To be called before each start of the cell's HAProxy;
 * what is registered it leaves alone, since the cell may be writing it. `inherited`: the descriptor of the listening socket
 * HAProxy will be started with; without it HAProxy opens its own.
 */
export async function prepareCellProxy(
  settings: CellProxySettings,
  inherited?: number,
): Promise<{ configFile: string }> {
  await mkdir(settings.runDirectory, { recursive: true, mode: 0o755 });
  await new ProxyStore(settings).create();
  const configFile = `${settings.runDirectory}/haproxy.cfg`;
  replaceFile(configFile, renderCellProxyConfig(settings, inherited), { mode: 0o644 });
  return { configFile };
}

/** Drives the cell's HAProxy. What is registered lies in the run directory, so that it survives the cell process as well. */
export async function createCellProxy(options: CellProxyOptions): Promise<CellProxy> {
  const { settings, log } = options;
  const socket = new HaproxySocket(settings.socket);
  const store = new ProxyStore(settings);
  await mkdir(settings.runDirectory, { recursive: true, mode: 0o755 });
  await store.load();
  const pace = { everyMs: options.intervalMs ?? 10_000, soonMs: 500 };
  const reconciler = new Reconciler('cell-proxy', pace, reconcile, log);
  const list = certificateListOf(settings);
  let queue: Promise<unknown> = Promise.resolve();

  /** One change at a time: files and HAProxy's transactions are shared. */
  function inOrder<T>(body: () => Promise<T>): Promise<T> {
    const result = queue.then(body);
    queue = result.catch(() => {});
    return result;
  }

  /** Applies a change at once where HAProxy answers; otherwise the reconciler does it. */
  async function apply(what: string, change: () => Promise<void>): Promise<void> {
    try {
      await change();
    } catch (error) {
      log.warn('the cell proxy did not take a change; it is tried again', { what, error: messageOf(error) });
      reconciler.wake();
    }
  }

  /** The certificate into HAProxy's memory: new under its name, or in the place of the one there. */
  function load(instanceGuid: string, pem: string): Promise<void> {
    return socket.loadCertificate(certificateFileOf(settings, instanceGuid), pem);
  }

  async function enlist(instanceGuid: string): Promise<void> {
    const line = certificateListLine(settings, instanceGuid);
    await socket.tell(`add ssl crt-list ${list} <<\n${line}\n`, /Success!$/);
  }

  async function target(instanceGuid: string, value: string, present: boolean): Promise<void> {
    await socket.tell(`${present ? 'set' : 'add'} map ${targetsMapOf(settings)} ${instanceGuid} ${value}`);
  }

  async function unload(file: string): Promise<void> {
    await socket.tell(
      `del ssl crt-list ${list} ${file}`,
      /deleted in crtlist/,
      /Can't delete .*not found|doesn't exist/,
    );
    await socket.tell(`del ssl cert ${file}`, /deleted!$/, /doesn't exist|not found/);
  }

  async function reconcileNow(): Promise<void> {
    const wanted = new Map(targetEntries(store.targets));
    const listed = new Set((await socket.ask(`show ssl crt-list -n ${list}`)).split('\n').flatMap(listedFile));
    for (const guid of store.targets.keys()) {
      const file = certificateFileOf(settings, guid);
      const pem = await store.certificate(guid);
      if (pem === null) continue;
      const loaded = await socket.ask(`show ssl cert ${file}`);
      if (fingerprint(loaded) !== sha1Of(pem)) await load(guid, pem);
      if (!listed.has(file)) await enlist(guid);
    }
    const served = await socket.map(targetsMapOf(settings));
    for (const [name, value] of wanted) if (served.get(name) !== value) await target(name, value, served.has(name));
    for (const name of served.keys()) {
      if (!wanted.has(name)) await socket.tell(`del map ${targetsMapOf(settings)} ${name}`);
    }
    const files = new Set([...store.targets.keys()].map((guid) => certificateFileOf(settings, guid)));
    for (const file of listed) if (!files.has(file)) await unload(file);
  }

  function reconcile(): Promise<void> {
    return inOrder(reconcileNow);
  }

  return {
    register: ({ certificate, key, ...given }) =>
      inOrder(async () => {
        const instance = { instanceGuid: given.instanceGuid, address: given.address, port: given.port };
        checkTarget(instance);
        const pem = joinCertificate(instance.instanceGuid, certificate, key);
        const known = store.targets.has(instance.instanceGuid);
        await store.put(instance, pem);
        await apply('register', async () => {
          if (known) return reconcileNow();
          // Another path than reconciling: a cell with hundreds of instances starts the next as fast as the first.
          await load(instance.instanceGuid, pem);
          for (const [name, value] of targetEntries(new Map([[instance.instanceGuid, instance]]))) {
            await target(name, value, false);
          }
          await enlist(instance.instanceGuid);
        });
      }),
    unregister: (instanceGuid) =>
      inOrder(async () => {
        const gone = store.targets.get(instanceGuid);
        if (!gone) return;
        await store.remove(instanceGuid);
        await apply('unregister', async () => {
          for (const [name] of targetEntries(new Map([[instanceGuid, gone]]))) {
            await socket.tell(`del map ${targetsMapOf(settings)} ${name}`, /not found/i);
          }
          await unload(certificateFileOf(settings, instanceGuid));
        });
      }),
    rotate: (instanceGuid, certificate, key) =>
      inOrder(async () => {
        if (!store.targets.has(instanceGuid)) return;
        const pem = joinCertificate(instanceGuid, certificate, key);
        await store.putCertificate(instanceGuid, pem);
        await apply('rotate', () => load(instanceGuid, pem));
      }),
    list: () => [...store.targets.values()],
    reconcile,
    start: () => reconciler.start(),
    close: async () => {
      await reconciler.stop();
      await queue;
    },
  };
}

/** "path:line [options] name" of `show ssl crt-list -n`. */
function listedFile(line: string): string[] {
  const file = /^(\/\S+?\.pem)(?::\d+)?(?:\s|$)/.exec(line)?.[1];
  return file ? [file] : [];
}

function fingerprint(answer: string): string {
  return /^SHA1 FingerPrint: ([0-9A-F]+)$/m.exec(answer)?.[1] ?? '';
}

function sha1Of(pem: string): string {
  return new X509Certificate(pem).fingerprint.replaceAll(':', '');
}
