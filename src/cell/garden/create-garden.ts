import { pinEngines, useEngines } from '../../kit/engines.ts';
import { CupolaError, messageOf } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';
import { Reconciler } from '../../kit/reconcile.ts';
import { plainRule, RunningContainer } from './container.ts';
import { makeContainer } from './creation.ts';
import { prepareDirectories } from './directories.ts';
import type { Container, ContainerSpec, Garden, Layer } from './garden.ts';
import { readThrough } from './layer-files.ts';
import { LayerCache } from './layers.ts';
import { checkInit } from './oci-spec.ts';
import { assembleParts, type ContainerParts } from './parts.ts';
import { type ContainerRecord, currentBootId, loadRecords, saveRecord } from './records.ts';
import { removeContainer, removeOrphans } from './removal.ts';
import { loadSeccompProfile, type SeccompProfile } from './seccomp.ts';
import { type GardenSettings, type OpenGardenSettings, UID_RANGE } from './settings.ts';
import { Spares } from './spares.ts';
import { unpackerOf } from './unpacking.ts';

const GIB = 1024 ** 3;
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
export async function createGarden(settings: OpenGardenSettings): Promise<OpenGarden> {
  const { engines } = settings;
  if (engines) useEngines(engines);
  checkInit();
  const parts = assembleParts(settings);
  await prepareDirectories(parts.paths);
  if (engines) await pinEngines(engines, [parts.paths.root, parts.paths.run]);
  const seccomp = await loadSeccompProfile();
  const layers = new LayerCache({
    directory: parts.paths.layers,
    unpack: unpackerOf(parts, seccomp),
    limits: { memoryBytes: GIB, diskBytes: settings.layerLimitBytes ?? 6 * GIB, pids: 64, cpuShares: 1024 },
    hasRoom: settings.hasRoom,
    log: settings.log.child('layers'),
  });
  const garden = new CellGarden(settings, parts, seccomp, layers);
  await garden.adopt();
  garden.start();
  return garden;
}

class CellGarden implements OpenGarden {
  readonly #parts: ContainerParts;
  readonly #seccomp: SeccompProfile;
  readonly #layers: LayerCache;
  readonly #log: Logger;
  readonly #entries = new Map<string, Entry>();
  readonly #capacity: number;
  readonly #networkCheck: Reconciler;
  readonly #spares: Spares;
  #lastNumber = 0;
  #bootId = '';

  constructor(settings: GardenSettings, parts: ContainerParts, seccomp: SeccompProfile, layers: LayerCache) {
    this.#parts = parts;
    this.#seccomp = seccomp;
    this.#layers = layers;
    this.#log = settings.log;
    this.#spares = new Spares(parts.paths.spares, settings.log);
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
    await this.#spares.open();
    await this.#layers.adopt(this.#bootId);
    this.#log.info('garden is open', { adopted: adopted.length, removed: leftovers.length });
  }

  async create(spec: ContainerSpec): Promise<Container> {
    if (this.#entries.has(spec.handle)) {
      throw new CupolaError('handle_in_use', `there is a container ${spec.handle} already`);
    }
    this.#lastNumber = this.#freeNumber();
    const record: ContainerRecord = {
      handle: spec.handle,
      number: this.#lastNumber,
      state: 'creating',
      bootId: this.#bootId,
      init: null,
      stack: spec.stack,
      layers: spec.layers.map(({ key }) => key),
      ...(spec.user ? { user: { uid: spec.user.uid, gid: spec.user.gid, groups: [...spec.user.groups] } } : {}),
      limits: spec.limits,
      egressRules: spec.egressRules.map(plainRule),
      properties: { ...spec.properties },
    };
    const making = makeContainer(
      { parts: this.#parts, seccomp: this.#seccomp, layers: this.#layers, spares: this.#spares },
      record,
      spec,
    );
    const entry: Entry = { record, container: null, work: making };
    this.#entries.set(spec.handle, entry);
    try {
      entry.container = await making;
      entry.work = null;
      this.#prepareNext(spec);
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

  ensureLayer(...asked: Parameters<Garden['ensureLayer']>): Promise<Layer> {
    return this.#layers.ensure(...asked);
  }

  readLayers(layers: readonly Layer[], path: string): Promise<string | null> {
    return readThrough(
      layers.map(({ key }) => this.#layers.path(key)),
      path,
    );
  }

  pruneLayers(isKept: (key: string) => boolean = () => false): Promise<void> {
    const isUsed = (key: string) => [...this.#entries.values()].some(({ record }) => record.layers.includes(key));
    return this.#layers.prune((key) => isKept(key) || isUsed(key));
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
    await this.#spares.close();
    for (const { container } of this.#entries.values()) await container?.close();
  }

  /** Round-robin, so that an address that just went is the last to be given again. */
  #freeNumber(): number {
    const taken = new Set([...this.#entries.values()].map(({ record }) => record.number));
    if (taken.size >= this.#capacity) throw new CupolaError('cell_full', 'no container number is free');
    let number = this.#lastNumber;
    do {
      number = (number % this.#capacity) + 1;
    } while (taken.has(number));
    return number;
  }

  /** In the belief that the next container is much like this one. */
  #prepareNext({ limits, layers }: ContainerSpec): void {
    const { uidRangeBase } = this.#parts;
    if (this.#entries.size >= this.#capacity) return;
    this.#spares.prepare({
      bytes: limits.diskBytes,
      onHost: uidRangeBase + this.#freeNumber() * UID_RANGE,
      onDisk: layers.length > 0 ? [0, uidRangeBase] : [0],
    });
  }

  async #remove(record: ContainerRecord, container: RunningContainer | null): Promise<void> {
    await container?.markGone();
    await saveRecord(this.#parts.paths, { ...record, state: 'destroying' });
    await removeContainer(this.#parts, String(record.number), () => container?.finish());
  }
}
