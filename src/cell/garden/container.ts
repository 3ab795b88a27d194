import { mkdir, readdir } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { basename, dirname } from 'node:path';
import { PassThrough, type Readable } from 'node:stream';
import { CupolaError } from '../../kit/errors.ts';
import type { PlainEgressRule } from '../network/egress.ts';
import { receive, send } from './archives.ts';
import { dial } from './dial.ts';
import type {
  Container,
  ContainerMetrics,
  ContainerProcess,
  ContainerSession,
  ContainerUser,
  ProcessSpec,
  SessionSpec,
} from './garden.ts';
import { type ContainerParts, cgroupPath, runtimeId } from './parts.ts';
import { adoptProcess, startProcess, type WatchedProcess } from './processes.ts';
import { type ContainerRecord, saveRecord } from './records.ts';
import { endLeftSessions, openSession } from './sessions.ts';
import { UID_RANGE, VCAP } from './settings.ts';
import { volumeUsage } from './volume.ts';

/** Sessions at a time. Each has a key of the kernel's for runc, of which a user of the machine has 200 (keyrings(7)). */
const SESSIONS = 100;

/** A container that runs, or ran until its first process died. */
export class RunningContainer implements Container {
  readonly handle: string;
  readonly address: string;
  readonly properties: Readonly<Record<string, string>>;
  readonly hostUid: number;
  readonly user: ContainerUser | null;
  readonly #parts: ContainerParts;
  readonly #record: ContainerRecord;
  readonly #sessions = new Set<ContainerSession>();
  readonly #sockets = new Set<Socket>();
  readonly #processes = new Map<string, Promise<WatchedProcess>>();
  #openSessions = 0;
  #saving = Promise.resolve();
  #gone = false;

  constructor(parts: ContainerParts, record: ContainerRecord) {
    this.#parts = parts;
    this.#record = record;
    this.handle = record.handle;
    this.properties = record.properties;
    this.address = parts.network.addresses.address(record.number);
    this.hostUid = parts.uidRangeBase + record.number * UID_RANGE + (record.user?.uid ?? VCAP);
    this.user = record.user ?? null;
  }

  /** Finds the processes that an earlier cell process started; its sessions end. */
  async adopt(): Promise<void> {
    await endLeftSessions(this.#parts, this.#record.number);
    const paths = this.#files();
    for (const id of await readdir(paths.processes).catch(() => [])) {
      const found = await adoptProcess(paths.process(id), this.#countKills);
      if (found) this.#processes.set(id, Promise.resolve(found));
    }
  }

  async run(spec: ProcessSpec): Promise<ContainerProcess> {
    this.#refuseIfGone();
    if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$/.test(spec.id)) {
      throw new CupolaError('invalid_process', 'a process id is made of letters, digits, ".", "_" and "-"');
    }
    if (this.#processes.has(spec.id)) {
      throw new CupolaError('process_exists', `the container has a process "${spec.id}" already`);
    }
    await mkdir(this.#files().processes, { recursive: true, mode: 0o700 });
    const starting = startProcess({
      runtime: this.#parts.runtime,
      containerId: this.#id(),
      directory: this.#files().process(spec.id),
      spec,
      countKills: this.#countKills,
    });
    this.#processes.set(spec.id, starting);
    try {
      return await starting;
    } catch (error) {
      this.#processes.delete(spec.id);
      throw error;
    }
  }

  async open(spec: SessionSpec): Promise<ContainerSession> {
    this.#refuseIfGone();
    if (this.#openSessions >= SESSIONS) {
      throw new CupolaError('too_many_sessions', `container ${this.handle} has ${SESSIONS} sessions already`);
    }
    this.#openSessions += 1;
    try {
      const session = await openSession(this.#parts, this.#record.number, spec);
      this.#sessions.add(session);
      void session.exit.then(() => {
        this.#sessions.delete(session);
        this.#openSessions -= 1;
      });
      return session;
    } catch (error) {
      this.#openSessions -= 1;
      throw error;
    }
  }

  async dial(host: string, port: number): Promise<Socket> {
    this.#refuseIfGone();
    const { init } = this.#record;
    if (!init) throw new CupolaError('container_not_found', `container ${this.handle} has no process`);
    const socket = await dial({ runtime: this.#parts.runtime, containerId: this.#id(), init, host, port });
    // While it is open the network namespace of a dead container would stay.
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    if (this.#gone) socket.destroy();
    return socket;
  }

  async processes(): Promise<ContainerProcess[]> {
    const all = await Promise.allSettled(this.#processes.values());
    return all.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  }

  async endProcesses(): Promise<void> {
    this.#refuseIfGone();
    const { init } = this.#record;
    if (!init) throw new CupolaError('container_not_found', `container ${this.handle} has no process`);
    await this.#parts.cgroups.killOthers(cgroupPath(this.#parts.prefix, this.#record.number), init.pid);
  }

  async streamIn(tar: Readable, destination: string): Promise<void> {
    this.#refuseIfGone();
    const script = 'umask 022 && mkdir -p -- "$1" && exec tar --extract --file=- --directory="$1"';
    await receive(tar, this.#parts.runtime.execPiped(this.#id(), ['sh', '-c', script, 'sh', destination]));
  }

  async streamOut(path: string, signal?: AbortSignal): Promise<Readable> {
    this.#refuseIfGone();
    const [directory, name] = path.endsWith('/') ? [path, '.'] : [dirname(path), basename(path)];
    // tar writes an empty archive before it fails for a path that is not there.
    const script = 'test -e "$1/$2" && exec tar --create --file=- --directory="$1" -- "$2"';
    const program = this.#parts.runtime.execPiped(this.#id(), ['sh', '-c', script, 'sh', directory, name]);
    return send(program, new PassThrough(), signal);
  }

  async setEgressRules(rules: readonly PlainEgressRule[]): Promise<void> {
    this.#refuseIfGone();
    const egressRules = rules.map(plainRule);
    await this.#parts.network.setRules({ number: this.#record.number, rules: egressRules });
    this.#record.egressRules = egressRules;
    await this.#save();
  }

  async setProperties(changes: Readonly<Record<string, string>>): Promise<void> {
    this.#refuseIfGone();
    Object.assign(this.#record.properties, changes);
    await this.#save();
  }

  async metrics(): Promise<ContainerMetrics> {
    this.#refuseIfGone();
    const path = cgroupPath(this.#parts.prefix, this.#record.number);
    const [cpuNanoseconds, memoryBytes, diskBytes] = await Promise.all([
      this.#parts.cgroups.cpuNanoseconds(path),
      this.#parts.cgroups.memoryBytes(path),
      volumeUsage(this.#files().volume),
    ]);
    return { cpuNanoseconds, memoryBytes, diskBytes };
  }

  /** From here on nothing new starts; what ran is known to have ended. Called when its processes were killed. */
  async finish(): Promise<void> {
    this.#gone = true;
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all([...this.#sessions].map((session) => session.end()));
    const all = await Promise.allSettled(this.#processes.values());
    await Promise.all(all.map((one) => (one.status === 'fulfilled' ? one.value.finish(2000) : null)));
  }

  /** Stops watching, and leaves it running; its sessions end. */
  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all([...this.#sessions].map((session) => session.end()));
    for (const one of await Promise.allSettled(this.#processes.values())) {
      if (one.status === 'fulfilled') one.value.close();
    }
  }

  /** Refuses new processes while the container is being destroyed; resolves when its record is written no more. */
  async markGone(): Promise<void> {
    this.#gone = true;
    await this.#saving;
  }

  readonly #countKills = (): Promise<number> =>
    this.#parts.cgroups.outOfMemoryKills(cgroupPath(this.#parts.prefix, this.#record.number));

  /** One at a time; none once the container is being destroyed, whose record says so. */
  async #save(): Promise<void> {
    const saved = this.#saving.then(() => (this.#gone ? undefined : saveRecord(this.#parts.paths, this.#record)));
    this.#saving = saved.catch(() => {});
    await saved;
  }

  #files() {
    return this.#parts.paths.container(this.#record.number);
  }

  #id(): string {
    return runtimeId(this.#parts.prefix, this.#record.number);
  }

  #refuseIfGone(): void {
    if (this.#gone) throw new CupolaError('container_not_found', `container ${this.handle} is gone`);
  }
}

/** The rule as plain JSON. */
export function plainRule(rule: PlainEgressRule): PlainEgressRule {
  const { protocol, destination, ports, type, code, log } = rule;
  return { protocol, destination, ports, type, code, log };
}
