import { appendFileSync, createReadStream, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import type {
  Container,
  ContainerProcess,
  ContainerSpec,
  Garden,
  LayerWanted,
  ProcessSpec,
} from '../../src/cell/garden/garden.ts';
import { run } from '../../src/kit/process.ts';

export interface FakeProcess extends ContainerProcess {
  spec: ProcessSpec;
  signals: string[];
  end(exitCode: number, outOfMemory?: boolean): void;
  write(text: string, stream?: 'stdout' | 'stderr'): void;
}

export interface FakeContainer extends Container {
  properties: Readonly<Record<string, string>>;
  spec: ContainerSpec;
  started: Map<string, FakeProcess>;
}

/** Containers that exist on paper only, for tests of the rep's state machines. Its address is the host's own. */
export function fakeGarden(directory: string, address = '127.0.0.1') {
  const containers = new Map<string, FakeContainer>();
  const destroyed: string[] = [];
  const propertyChanges: Readonly<Record<string, string>>[] = [];
  const layers = new Map<string, Buffer>();
  const pretend = {
    containers,
    destroyed,
    propertyChanges,
    layers,
    /** For whom each layer was asked for. */
    wanted: new Map<string, LayerWanted>(),
    failCreate: false,
    /** What the making of a container waits for. */
    beforeCreate: async (_handle: string): Promise<void> => {},
    /** What a layer waits for. */
    beforeLayer: async (_signal?: AbortSignal): Promise<void> => {},
    /** What a process does with SIGTERM: its exit code, or null to ignore it. */
    onTerm: 143 as number | null,
    app: (handle: string, process = 'app') => containers.get(handle)!.started.get(process)!,
  };

  function makeProcess(handle: string, spec: ProcessSpec): FakeProcess {
    const exit = Promise.withResolvers<{ exitCode: number; outOfMemory: boolean }>();
    mkdirSync(join(directory, handle), { recursive: true });
    const logPath = join(directory, handle, `${spec.id}.log`);
    writeFileSync(logPath, '');
    const signals: string[] = [];
    return {
      id: spec.id,
      spec,
      logPath,
      exit: exit.promise,
      signals,
      async signal(name) {
        signals.push(name);
        if (name === 'SIGKILL') exit.resolve({ exitCode: 137, outOfMemory: false });
        else if (pretend.onTerm !== null) exit.resolve({ exitCode: pretend.onTerm, outOfMemory: false });
      },
      end: (exitCode, outOfMemory = false) => exit.resolve({ exitCode, outOfMemory }),
      write: (text, stream = 'stdout') => appendFileSync(logPath, `${new Date().toISOString()} ${stream} F ${text}\n`),
    };
  }

  const garden: Garden = {
    async create(spec) {
      if (pretend.failCreate) throw new Error('no container today');
      await pretend.beforeCreate(spec.handle);
      const started = new Map<string, FakeProcess>();
      const container: FakeContainer = {
        spec,
        started,
        handle: spec.handle,
        address,
        properties: spec.properties,
        hostUid: 0,
        user: spec.user ?? null,
        async run(process) {
          const made = makeProcess(spec.handle, process);
          started.set(process.id, made);
          return made;
        },
        open: () => Promise.reject(new Error('sessions need a real container')),
        dial: () => Promise.reject(new Error('connections need a real container')),
        processes: async () => [...started.values()],
        endProcesses: async () => {},
        streamIn: async () => {},
        streamOut: async () => {
          const root = join(directory, 'certs');
          mkdirSync(root, { recursive: true });
          writeFileSync(join(root, 'ca-certificates.crt'), '');
          return Readable.from([await run('tar', ['-c', '-C', directory, 'certs'])]);
        },
        setEgressRules: async () => {},
        async setProperties(changes) {
          propertyChanges.push(changes);
          container.properties = { ...container.properties, ...changes };
        },
        metrics: async () => ({ cpuNanoseconds: 5_000_000n, memoryBytes: 1_000, diskBytes: 2_000 }),
      };
      containers.set(spec.handle, container);
      return container;
    },
    list: async () => [...containers.values()],
    lookup: async (handle) => containers.get(handle) ?? null,
    async destroy(handle) {
      if (containers.delete(handle)) destroyed.push(handle);
    },
    async ensureLayer(key, source, _destination, _stack, wanted) {
      pretend.wanted.set(key, wanted ?? {});
      await pretend.beforeLayer(wanted?.signal);
      if (!layers.has(key)) {
        const file = 'file' in source ? createReadStream(source.file) : await source.open(new AbortController().signal);
        layers.set(key, await buffer(file));
      }
      return { key };
    },
    readLayers: async () => null,
    pruneLayers: async () => {},
  };
  return { garden, pretend };
}
