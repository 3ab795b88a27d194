import { randomUUID } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import { type Client, Code, ConnectError } from '@connectrpc/connect';
import {
  type ActualLrp,
  ActualLrpSchema,
  type CellPresence,
  CellPresenceSchema,
  CellRegistry,
  CellStateSchema,
  type DesiredLrp,
  type LrpStart,
  Rep,
  type Task,
  type Work,
  WorkSchema,
} from '../../src/contracts/gen/diego_pb.js';
import { client, inMemoryTransport, type Routes } from '../../src/kit/rpc.ts';

/** An instance a fake cell has. */
export interface HeldLrp {
  lrp: ActualLrp;
  desired: DesiredLrp;
}

export interface FakeCellOptions {
  cellId: string;
  zone?: string;
  memoryMb?: number;
  placementTags?: string[];
}

/**
 * A cell without containers: it speaks the contract as a rep does. `claims` and `starts` say how far it goes on its
 * own; `answers` false makes it vanish.
 */
export class FakeCell {
  readonly presence: CellPresence;
  readonly held = new Map<string, HeldLrp>();
  readonly tasks = new Map<string, Task>();
  readonly performed: LrpStart[] = [];
  readonly stopped: string[] = [];
  readonly cancelled: string[] = [];
  readonly renamed: string[][] = [];
  answers = true;
  /** Of a version that knows no renames. */
  older = false;
  refuses = false;
  claims = true;
  starts = true;
  readonly registry: Client<typeof CellRegistry>;
  readonly #rep: Client<typeof Rep>;
  readonly #reporting = new Set<Promise<unknown>>();

  constructor(options: FakeCellOptions, diego: Routes) {
    const { cellId, zone = 'z1', memoryMb = 4096, placementTags = [] } = options;
    this.presence = create(CellPresenceSchema, {
      cellId,
      zone,
      repUrl: `https://${cellId}:1800`,
      memoryMb,
      diskMb: 65_536,
      containers: 250,
      stacks: ['debian12'],
      placementTags,
    });
    this.registry = client(CellRegistry, inMemoryTransport(diego));
    this.#rep = client(
      Rep,
      inMemoryTransport((router) => {
        router.service(Rep, {
          state: () => this.#answer(() => this.#state()),
          perform: (work) => this.#answer(() => this.#perform(work)),
          stopLrp: (request) =>
            this.#answer(() => {
              this.stopped.push(request.instanceGuid);
              this.#later(this.#stop(request.instanceGuid));
              return {};
            }),
          cancelTask: ({ taskGuid }) =>
            this.#answer(() => {
              this.cancelled.push(taskGuid);
              this.tasks.delete(taskGuid);
              return {};
            }),
          updateEgressRules: () => this.#answer(() => ({})),
          updateNames: ({ processGuid, names }) =>
            this.#answer(() => {
              if (this.older) throw new ConnectError('unknown call', Code.Unimplemented);
              this.renamed.push([processGuid, names!.appName, names!.spaceName, names!.organizationName]);
              return {};
            }),
          instanceStats: ({ instanceGuids }) =>
            this.#answer(() => ({
              stats: instanceGuids
                .filter((guid) => this.held.has(guid))
                .map((instanceGuid) => ({ instanceGuid, memoryBytes: 1_048_576n })),
            })),
        });
      }),
    );
  }

  get rep(): Client<typeof Rep> {
    return this.#rep;
  }

  /** Resolves when everything it began to report is reported. */
  async settled(): Promise<void> {
    while (this.#reporting.size > 0) await Promise.allSettled(this.#reporting);
  }

  heartbeat(): Promise<unknown> {
    return this.registry.heartbeat(this.presence);
  }

  /** Claims for this cell; gives the instance. Throws FAILED_PRECONDITION where somebody else has it. */
  async claim(desired: DesiredLrp, index: number): Promise<ActualLrp> {
    const lrp = create(ActualLrpSchema, {
      processGuid: desired.processGuid,
      index,
      instanceGuid: randomUUID(),
      cellId: this.presence.cellId,
    });
    await this.registry.claimActualLrp(lrp);
    this.held.set(lrp.instanceGuid, { lrp, desired });
    return lrp;
  }

  async start(lrp: ActualLrp): Promise<void> {
    lrp.hostAddress = `10.0.0.${this.presence.cellId.replaceAll(/\D/g, '') || '1'}`;
    lrp.ports = [{ $typeName: 'cupola.diego.v1.PortMapping', containerPort: 8080, hostTlsProxyPort: 61_001 }];
    await this.registry.startActualLrp(lrp);
  }

  async crash(lrp: ActualLrp, reason: string): Promise<void> {
    this.held.delete(lrp.instanceGuid);
    await this.registry.crashActualLrp({ ...lrp, crashReason: reason });
  }

  #later(report: Promise<unknown>): void {
    this.#reporting.add(report);
    void report.finally(() => this.#reporting.delete(report));
  }

  async #stop(instanceGuid: string): Promise<void> {
    const held = this.held.get(instanceGuid);
    if (!held) return;
    this.held.delete(instanceGuid);
    await this.registry.removeActualLrp(held.lrp);
  }

  #state() {
    const used = [...this.held.values()].reduce((sum, { desired }) => sum + desired.memoryMb, 0);
    return create(CellStateSchema, {
      presence: this.presence,
      availableMemoryMb: this.presence.memoryMb - used,
      availableDiskMb: this.presence.diskMb,
      availableContainers: this.presence.containers - this.held.size,
      lrps: [...this.held.values()].map(({ lrp }) => ({
        processGuid: lrp.processGuid,
        index: lrp.index,
        instanceGuid: lrp.instanceGuid,
      })),
      taskGuids: [...this.tasks.keys()],
    });
  }

  #perform(work: Work): Work {
    if (this.refuses) return work;
    this.performed.push(...work.lrpStarts);
    for (const task of work.tasks) this.tasks.set(task.taskGuid, task);
    if (this.claims) {
      for (const start of work.lrpStarts) {
        const asked = this.#holding(start);
        this.#later(asked ? this.#report(asked) : this.#run(start));
      }
      for (const task of work.tasks) {
        this.#later(this.registry.startTask({ taskGuid: task.taskGuid, cellId: this.presence.cellId }));
      }
    }
    return create(WorkSchema);
  }

  /** What it has already: it is asked for it twice. */
  #holding({ desiredLrp, index }: LrpStart): HeldLrp | undefined {
    return [...this.held.values()].find(
      ({ lrp }) => lrp.processGuid === desiredLrp?.processGuid && lrp.index === index,
    );
  }

  /** Says again what runs, as a comparison with the registry would; what is refused stops. */
  async #report({ lrp }: HeldLrp): Promise<void> {
    try {
      await this.start(lrp);
    } catch (error) {
      if (ConnectError.from(error).code !== Code.FailedPrecondition) throw error;
      this.held.delete(lrp.instanceGuid);
    }
  }

  async #run({ desiredLrp, index }: LrpStart): Promise<void> {
    try {
      const lrp = await this.claim(desiredLrp!, index);
      if (this.starts) await this.start(lrp);
    } catch (error) {
      if (ConnectError.from(error).code !== Code.FailedPrecondition) throw error;
    }
  }

  #answer<T>(body: () => T): T {
    if (!this.answers) throw new ConnectError('nobody is there', Code.Unavailable);
    return body();
  }
}
