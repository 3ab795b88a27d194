import { chmod, chown, mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { CupolaError, messageOf } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';
import { Reconciler } from '../../kit/reconcile.ts';
import { CellNetwork } from '../network/network.ts';
import { Cgroups } from './cgroups.ts';
import { type ContainerParts, cgroupParent, cgroupPath, plainRule, RunningContainer, runtimeId } from './container.ts';
import type { Container, ContainerSpec, Garden, Layer } from './garden.ts';
import { LayerCache } from './layers.ts';
import { makePrivateMount, unmountBelow } from './mounts.ts';
import { runtimeSpec } from './oci-spec.ts';
import { GardenPaths } from './paths.ts';
import { type ContainerRecord, currentBootId, loadRecords, saveRecord } from './records.ts';
import { removeContainer, removeOrphans } from './removal.ts';
import { mountRootFilesystem } from './rootfs.ts';
import { Runtime } from './runtime.ts';
import { loadSeccompProfile, type SeccompProfile } from './seccomp.ts';
import { type GardenSettings, UID_RANGE } from './settings.ts';
import { openIdMap } from './user-namespaces.ts';
import { createVolume } from './volume.ts';

const DEFAULT_LAYER_BYTES = 6 * 1024 ** 3;
const DEFAULT_LOG_BYTES = 64 * 1024 ** 2;
const NETWORK_CHECK_MS = 10_000;

export interface OpenGarden extends Garden {
  /** Puts the packet filter in force again if it was removed. Called by a timer too. */
  checkNetwork(): Promise<void>;
  /** Ends the watching; containers live on. */
  close(): Promise<void>;
}

interface Entry {
  record: ContainerRecord;
  /** Null while it is made and while it is destroyed. */
  container: RunningContainer | null;
  /** The creation or removal under way. */
  work: Promise<unknown> | null;
}

/**
 * Opens the garden of a cell: adopts the containers that run, removes what was left half made, and puts the packet
 * filter in force. Throws CupolaError, e.g. `engine_missing`, `invalid_settings`, `prefix_in_use`.
 */
export async function createGarden(settings: GardenSettings): Promise<OpenGarden> {
  const parts = assembleParts(settings);
  await prepareDirectories(parts.paths);
  const seccomp = await loadSeccompProfile();
  const layers = new LayerCache({
    parts,
    seccomp,
    limitBytes: settings.layerLimitBytes ?? DEFAULT_LAYER_BYTES,
    log: settings.log.child('layers'),
  });
  const garden = new CellGarden(settings, parts, seccomp, layers);
  await garden.adopt();
  garden.start();
  return garden;
}

/** The pieces a garden is made of. Throws `invalid_settings`, `engine_missing`, `invalid_address`. */
export function assembleParts(settings: GardenSettings): ContainerParts {
  if (!/^[a-z]{1,4}$/.test(settings.prefix)) {
    throw new CupolaError('invalid_settings', 'the prefix of a cell is one to four lower-case letters');
  }
  const paths = new GardenPaths(settings);
  return {
    paths,
    prefix: settings.prefix,
    uidRangeBase: settings.uidRangeBase,
    runtime: new Runtime(paths.runcState, settings.logLimitBytes ?? DEFAULT_LOG_BYTES),
    cgroups: new Cgroups(),
    network: new CellNetwork(settings.prefix, settings.network),
  };
}

async function prepareDirectories(paths: GardenPaths): Promise<void> {
  await mkdir(paths.root, { recursive: true, mode: 0o700 });
  await chmod(paths.root, 0o700);
  await mkdir(paths.run, { recursive: true, mode: 0o711 });
  await chmod(paths.run, 0o711);
  await refuseHidden(paths.run);
  await mkdir(paths.rootfs, { recursive: true, mode: 0o711 });
  await chmod(paths.rootfs, 0o711);
  for (const directory of [paths.containers, paths.layers, paths.scratch, paths.runcState]) {
    await mkdir(directory, { recursive: true, mode: 0o700 });
  }
  // Else every process with a mount namespace of its own would get, and hold, what is mounted for containers.
  makePrivateMount(paths.root);
  makePrivateMount(paths.run);
}

/** A container's root is an ordinary user of the host, and must be able to walk to its file system. */
async function refuseHidden(directory: string): Promise<void> {
  for (let path = resolve(directory); path !== '/'; path = dirname(path)) {
    if (((await stat(path)).mode & 0o001) === 0) {
      throw new CupolaError('invalid_settings', `the run directory lies below ${path}, which not everybody may enter`);
    }
  }
}

class CellGarden implements OpenGarden {
  readonly #parts: ContainerParts;
  readonly #seccomp: SeccompProfile;
  readonly #layers: LayerCache;
  readonly #log: Logger;
  readonly #entries = new Map<string, Entry>();
  readonly #capacity: number;
  readonly #networkCheck: Reconciler;
  #lastNumber = 0;
  #bootId = '';

  constructor(settings: GardenSettings, parts: ContainerParts, seccomp: SeccompProfile, layers: LayerCache) {
    this.#parts = parts;
    this.#seccomp = seccomp;
    this.#layers = layers;
    this.#log = settings.log;
    this.#networkCheck = new Reconciler('packet filter', NETWORK_CHECK_MS, () => this.checkNetwork(), settings.log);
    this.#capacity = Math.min(
      settings.maxContainers ?? Number.POSITIVE_INFINITY,
      parts.network.addresses.capacity,
      Math.floor((2 ** 32 - 1 - settings.uidRangeBase) / UID_RANGE) - 1,
    );
  }

  async adopt(): Promise<void> {
    this.#bootId = await currentBootId();
    const leftovers: string[] = [];
    for (const { name, record } of await loadRecords(this.#parts.paths)) {
      if (record?.state === 'ready' && record.bootId === this.#bootId) {
        const container = new RunningContainer(this.#parts, record);
        await container.adopt();
        this.#entries.set(record.handle, { record, container, work: null });
        this.#lastNumber = Math.max(this.#lastNumber, record.number);
      } else {
        leftovers.push(name);
      }
    }
    const adopted = [...this.#entries.values()].map(({ record }) => record);
    await this.#parts.network.start(adopted.map(({ number, egressRules }) => ({ number, rules: egressRules })));
    for (const name of leftovers) await removeContainer(this.#parts, name);
    await removeOrphans(this.#parts, new Set(adopted.map(({ number }) => String(number))));
    await this.#layers.adopt(this.#bootId);
    this.#log.info('garden is open', { adopted: adopted.length, removed: leftovers.length });
  }

  async create(spec: ContainerSpec): Promise<Container> {
    if (this.#entries.has(spec.handle)) {
      throw new CupolaError('handle_in_use', `there is a container ${spec.handle} already`);
    }
    const record: ContainerRecord = {
      handle: spec.handle,
      number: this.#freeNumber(),
      state: 'creating',
      bootId: this.#bootId,
      init: null,
      stack: spec.stack,
      layers: spec.layers.map(({ key }) => key),
      limits: spec.limits,
      egressRules: spec.egressRules.map(plainRule),
      properties: { ...spec.properties },
    };
    const making = this.#make(record, spec);
    const entry: Entry = { record, container: null, work: making };
    this.#entries.set(spec.handle, entry);
    try {
      entry.container = await making;
      entry.work = null;
      return entry.container;
    } catch (error) {
      entry.work = removeContainer(this.#parts, String(record.number)).catch((failure) =>
        this.#log.error('a half-made container could not be removed', { error: messageOf(failure) }),
      );
      await entry.work;
      this.#entries.delete(spec.handle);
      throw error;
    }
  }

  async list(): Promise<Container[]> {
    return [...this.#entries.values()].flatMap(({ container }) => container ?? []);
  }

  async lookup(handle: string): Promise<Container | null> {
    return this.#entries.get(handle)?.container ?? null;
  }

  async destroy(handle: string): Promise<void> {
    for (;;) {
      const entry = this.#entries.get(handle);
      if (!entry) return;
      if (entry.work) {
        await entry.work.catch(() => {}); // being made, or being destroyed by another call
        continue;
      }
      const { container } = entry;
      entry.container = null;
      entry.work = this.#remove(entry.record, container);
      try {
        await entry.work;
        this.#entries.delete(handle);
        return;
      } catch (error) {
        entry.container = container; // shown again, so that the next look tries again
        entry.work = null;
        throw error;
      }
    }
  }

  ensureLayer(
    key: string,
    source: { format: 'tar' | 'zip'; open: () => Promise<Readable> },
    destination: string,
    stack: string,
  ): Promise<Layer> {
    return this.#layers.ensure(key, source, destination, stack);
  }

  async pruneLayers(keep: readonly string[]): Promise<void> {
    const used = [...this.#entries.values()].flatMap(({ record }) => record.layers);
    await this.#layers.prune(new Set([...keep, ...used]));
  }

  start(): void {
    this.#networkCheck.start();
  }

  async checkNetwork(): Promise<void> {
    if (await this.#parts.network.restore()) {
      this.#log.warn('the packet filter was removed by somebody; it is in force again');
    }
  }

  async close(): Promise<void> {
    await this.#networkCheck.stop();
    for (const { container } of this.#entries.values()) await container?.close();
  }

  /** Round-robin, so that an address that just went is the last to be given again. */
  #freeNumber(): number {
    const taken = new Set([...this.#entries.values()].map(({ record }) => record.number));
    if (taken.size >= this.#capacity) throw new CupolaError('cell_full', 'no container number is free');
    do {
      this.#lastNumber = (this.#lastNumber % this.#capacity) + 1;
    } while (taken.has(this.#lastNumber));
    return this.#lastNumber;
  }

  async #remove(record: ContainerRecord, container: RunningContainer | null): Promise<void> {
    container?.markGone();
    await saveRecord(this.#parts.paths, { ...record, state: 'destroying' });
    await removeContainer(this.#parts, String(record.number), () => container?.finish());
  }

  async #make(record: ContainerRecord, spec: ContainerSpec): Promise<RunningContainer> {
    const { paths, network, runtime, prefix, cgroups } = this.#parts;
    const { number } = record;
    const files = paths.container(number);
    const uidBase = this.#parts.uidRangeBase + number * UID_RANGE;
    const id = runtimeId(prefix, number);
    await mkdir(files.directory, { mode: 0o700 });
    await saveRecord(paths, record);
    await Promise.all([
      this.#makeFilesystem(record, uidBase),
      network.admit({ number, rules: record.egressRules }),
      this.#writeEtc(record),
    ]);
    const config = runtimeSpec({
      handle: record.handle,
      rootfs: files.rootfs,
      uidBase,
      limits: record.limits,
      limitsSwap: cgroups.limitsSwap,
      binds: [...etcBinds(files.etc), ...spec.binds],
      cgroupPath: cgroupPath(prefix, number),
      seccomp: this.#seccomp,
    });
    await writeFile(files.runtimeSpec, JSON.stringify(config), { mode: 0o600 });
    const { process: init } = await runtime.create(id, files.directory, files.init);
    if (!init) throw new CupolaError('container_runtime_failed', 'the first process of the container ended at once');
    record.init = init;
    // The first process runs nothing of the app, so link and start need no order; the packet filter stands already.
    await Promise.all([network.connect(number, init.pid), runtime.start(id)]);
    record.state = 'ready';
    await saveRecord(paths, record);
    return new RunningContainer(this.#parts, record);
  }

  async #makeFilesystem(record: ContainerRecord, uidBase: number): Promise<void> {
    const { paths } = this.#parts;
    const files = paths.container(record.number);
    const layers = record.layers.map((key) => this.#layers.path(key));
    const makeGate = async () => {
      // Only this container's root may walk through; other users of the machine see nothing of it.
      await mkdir(files.rootfs, { recursive: true, mode: 0o710 });
      await chown(files.gate, 0, uidBase);
      await chmod(files.gate, 0o710);
    };
    const [stackMap, layerMap] = await Promise.all([
      openIdMap(0, uidBase),
      layers.length > 0 ? openIdMap(this.#parts.uidRangeBase, uidBase) : null,
      createVolume(files.image, files.volume, record.limits.diskBytes),
      makeGate(),
    ]);
    using stack = stackMap;
    using layer = layerMap;
    await mountRootFilesystem({
      lowers: [
        { path: paths.stack(record.stack), userNamespace: stack.descriptor },
        ...layers.map((path) => ({ path, userNamespace: layer!.descriptor })),
      ],
      volume: files.volume,
      mountPoint: files.rootfs,
      owner: uidBase,
      scratchDirectory: paths.scratch,
    });
  }

  async #writeEtc(record: ContainerRecord): Promise<void> {
    const { paths, network } = this.#parts;
    const directory = paths.container(record.number).etc;
    const address = network.addresses.address(record.number);
    const name = record.handle.slice(0, 63);
    await mkdir(directory, { mode: 0o755 });
    await Promise.all([
      writeFile(join(directory, 'hosts'), `127.0.0.1 localhost\n${address} ${name}\n`, { mode: 0o644 }),
      writeFile(join(directory, 'hostname'), `${name}\n`, { mode: 0o644 }),
      writeFile(join(directory, 'resolv.conf'), `nameserver ${network.gateway}\n`, { mode: 0o644 }),
    ]);
  }
}

function etcBinds(directory: string) {
  return ['hosts', 'hostname', 'resolv.conf'].map((name) => ({
    source: join(directory, name),
    destination: `/etc/${name}`,
  }));
}

/** Removes everything a garden made: containers, mounts, layers, links, packet filter, cgroups, directories. For `cupola destroy`. */
export async function teardownGarden(settings: GardenSettings): Promise<void> {
  const parts = assembleParts(settings);
  const { paths } = parts;
  for (const { name } of await loadRecords(paths)) await removeContainer(parts, name);
  await removeOrphans(parts, new Set());
  await parts.network.tearDown();
  await parts.cgroups.remove(`/${cgroupParent(parts.prefix)}`);
  for (const directory of [paths.root, paths.run]) {
    await unmountBelow(directory);
    await rm(directory, { recursive: true, force: true });
  }
}
