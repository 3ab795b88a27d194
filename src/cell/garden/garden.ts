import type { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import type { EgressRule } from '../../contracts/gen/diego_pb.js';

/** What a container may use. */
export interface ContainerLimits {
  memoryBytes: number;
  diskBytes: number;
  pids: number;
  /** Relative weight: as many shares as MB of memory. */
  cpuShares: number;
}

/** A user of an image, by the container's numbers. Has no capability, root neither. */
export interface ContainerUser {
  uid: number;
  gid: number;
  /** Further groups. */
  groups: readonly number[];
}

/**
 * An archive that becomes a layer. What `open` is given aborts once the layer is not wanted any more. `origin` names where it comes from:
 * whoever waits for another's work takes its failure as well, so only one of the same is waited for.
 */
export type LayerSource = { origin?: string } & (
  | { format: 'tar' | 'zip'; open: (signal: AbortSignal) => Promise<Readable> }
  /**
   * A zip of this machine's own, which any account may read and nobody writes to: it is read where it lies. `check` is given the path of
   * the very file that is read, whatever takes its name meanwhile, and throws where it is not the right one.
   */
  | { format: 'zip'; file: string; check: (path: string) => Promise<void> }
  /**
   * A plain tar of numbered owners, already cleaned of what no image may hold, whose owners are kept and which becomes a
   * whole tree. `whiteouts` is read when the tar was read to its end: what the layer takes away from those below it.
   */
  | {
      format: 'image';
      open: (signal: AbortSignal) => Promise<Readable>;
      whiteouts: () => LayerWhiteouts;
    }
);

/** Paths below the root of a layer, without a leading slash. */
export interface LayerWhiteouts {
  /** Files and directories of the layers below. */
  removed: Iterable<string>;
  /** Directories that show nothing of the layers below. */
  opaque: Iterable<string>;
}

/** For whom a layer is made. */
export interface LayerWanted {
  /** Whoever asks gives up when it aborts; what is made for them ends then. */
  signal?: AbortSignal;
  /** The layer stays until it aborts: then there is a container that uses it, or there will be none. `signal` where it is absent. */
  until?: AbortSignal;
  /** What its making may use: unpacking is to cost a neighbour no more than the app would that it is for. */
  limits?: Partial<ContainerLimits>;
}

/** A read-only tree below the container's own writable one. See `Garden.ensureLayer`. */
export interface Layer {
  key: string;
}

/** A host directory shown read-only in the container. Files in it must be readable by the container's vcap user (see `Container.hostUid`). */
export interface BindMount {
  source: string;
  destination: string;
}

export interface ContainerSpec {
  /** Instance guid or task guid. */
  handle: string;
  /** Name of a stack that was built; null where the layers are a container image's and hold all there is. */
  stack: string | null;
  /** Above the stack, lowest first. */
  layers: readonly Layer[];
  /** Whose the container's own files are and who `hostUid` means; vcap where it is absent. */
  user?: ContainerUser;
  /** A directory that is made where the layers have none of that name. */
  workingDirectory?: string;
  limits: ContainerLimits;
  binds: readonly BindMount[];
  egressRules: readonly EgressRule[];
  /** Kept beside the container and given back by `list` after a restart of the cell. */
  properties: Readonly<Record<string, string>>;
}

export interface ProcessSpec {
  /** Unique in the container, e.g. "app". */
  id: string;
  args: readonly string[];
  environment: Readonly<Record<string, string>>;
  workingDirectory: string;
  user: 'vcap' | 'root' | ContainerUser;
}

/** A process that conmon watches; it outlives the cell process. */
export interface ContainerProcess {
  id: string;
  /** conmon's k8s-file log: "<RFC 3339 nano> stdout|stderr P|F <text>". */
  logPath: string;
  /** Settles when it ended. `outOfMemory`: the kernel killed it for the memory limit. */
  exit: Promise<{ exitCode: number; outOfMemory: boolean }>;
  signal(name: 'SIGTERM' | 'SIGKILL' | 'SIGINT'): Promise<void>;
}

/** A process for somebody who is connected, as by `cf ssh`. */
export interface SessionSpec extends Omit<ProcessSpec, 'id'> {
  /** With it standard output and error are one, and the process can ask for the size. */
  terminal?: { columns: number; rows: number };
}

/** Unlike what `run` starts it does not outlive the cell process, nor does anything it started. */
export interface ContainerSession {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** The exit code; 128 and the signal's number where one ended it. */
  readonly exit: Promise<number>;
  resize(columns: number, rows: number): void;
  /** To the process and its group, by name without "SIG". */
  signal(name: string): void;
  /** Kills what is left of it; what it said and nobody read is dropped. */
  end(): Promise<void>;
}

export interface ContainerMetrics {
  cpuNanoseconds: bigint;
  memoryBytes: number;
  diskBytes: number;
}

export interface Container {
  readonly handle: string;
  /** On the overlay. */
  readonly address: string;
  readonly properties: Readonly<Record<string, string>>;
  /** The host's number of the container's user. */
  readonly hostUid: number;
  /** Of a container image; null where it is vcap. */
  readonly user: ContainerUser | null;
  run(spec: ProcessSpec): Promise<ContainerProcess>;
  /** Throws `container_runtime_failed`, and `too_many_sessions` where it has as many as it may have. */
  open(spec: SessionSpec): Promise<ContainerSession>;
  /**
   * Connects to a TCP port from inside the container's network, so under its own egress rules; names are the container's.
   * Throws `connection_refused`.
   */
  dial(host: string, port: number): Promise<Socket>;
  /** Processes that were started and not yet forgotten, those that ended included. */
  processes(): Promise<ContainerProcess[]>;
  /** Kills what runs in it, but sessions: no process of it changes or holds up what is taken out afterwards. Throws `processes_left`. */
  endProcesses(): Promise<void>;
  /** Unpacks a tar stream as vcap inside the container: nothing in the archive can reach outside. */
  streamIn(tar: Readable, destination: string): Promise<void>;
  /** A gzip-less tar of one path, made as vcap inside the container; it breaks off when `signal` aborts. Throws `archive_refused`. */
  streamOut(path: string, signal?: AbortSignal): Promise<Readable>;
  setEgressRules(rules: readonly EgressRule[]): Promise<void>;
  /** Over those it was made with; what is not named stays. */
  setProperties(changes: Readonly<Record<string, string>>): Promise<void>;
  metrics(): Promise<ContainerMetrics>;
}

/** Containers of one cell. Everything it made is found again after the cell process was killed. */
export interface Garden {
  /** Network, limits and root file system are in place and the init process runs when it resolves. Throws CupolaError. */
  create(spec: ContainerSpec): Promise<Container>;
  list(): Promise<Container[]>;
  lookup(handle: string): Promise<Container | null>;
  /** Kills what runs and removes mounts, links, rules, cgroups and files; fine if it is gone already. */
  destroy(handle: string): Promise<void>;
  /**
   * Unpacks a tar (gzip allowed) or zip once per key, inside a throw-away container, under `destination` (which an
   * image's layer has none of). A call waits for another's work of the same key where that is as good: of the same origin, and with no less
   * to use; where the other gives up, it is begun anew. The layer stays cached until `pruneLayers`. Throws
   * `archive_refused`, `archive_failed`, `archive_cut_off`, `layer_too_large`, `layer_too_slow`, `disk_reserved`, `invalid_destination`,
   * `image_invalid`, what opening the source threw, or the reason of the signal.
   */
  ensureLayer(
    key: string,
    source: LayerSource,
    destination: string,
    stack: string,
    wanted?: LayerWanted,
  ): Promise<Layer>;
  /** A text file as a container of these layers alone would see it; null where there is none, or a link leads to it. */
  readLayers(layers: readonly Layer[], path: string): Promise<string | null>;
  /** Removes layers that no container uses, nobody waits with for one (`LayerWanted.until`), and that `isKept` does not keep; by default none. */
  pruneLayers(isKept?: (key: string) => boolean): Promise<void>;
}
