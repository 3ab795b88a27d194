import type { DesiredLrp } from '../../contracts/gen/diego_pb.js';
import { type LogNames, type LogOrigin, renameOrigin } from '../../contracts/log-envelopes.ts';
import type { Container, ContainerProcess } from '../garden/garden.ts';
import type { Following } from '../logs/agent.ts';
import { cellOrigin, processSourceType, sidecarSourceType } from '../logs/origins.ts';
import type { LogRateLimit } from '../logs/rate-limit.ts';
import type { RepContext } from './collaborators.ts';
import { localeIn } from './container-properties.ts';
import { type Ending, exitReason } from './endings.ts';
import { containerEnvironment, type EnvironmentFacts } from './environment.ts';
import { endProcess } from './graceful-stop.ts';
import type { Runnable } from './runnable.ts';

const APP_PROCESS = 'app';

interface Member {
  /** Of the process in the container. */
  id: string;
  origin: LogOrigin;
  command: string;
  /** What it is told it may use; the container's limit holds for all together. */
  memoryMb: number;
  process: ContainerProcess | null;
  following: Following | null;
}

export interface InstanceFacts {
  desired: DesiredLrp;
  index: number;
  instanceGuid: string;
  /** Shared: a sidecar's lines count as the instance's. */
  rateLimit: LogRateLimit;
}

/**
 * The app's process and its sidecars, in one container: started together, each logged under its own name, and all of them
 * one instance, so that it crashes when any of them ends.
 */
export class InstanceProcesses {
  readonly #context: RepContext;
  readonly #facts: InstanceFacts;
  readonly #members: readonly [Member, ...Member[]];
  #runnable: Runnable | null = null;

  constructor(context: RepContext, facts: InstanceFacts) {
    const { desired, index, instanceGuid } = facts;
    this.#context = context;
    this.#facts = facts;
    const member = (id: string, sourceType: string, command: string, memoryMb: number): Member => ({
      id,
      origin: cellOrigin(desired.owner, { index, guid: instanceGuid }, sourceType, context.cellId),
      command,
      memoryMb,
      process: null,
      following: null,
    });
    const { owner, memoryMb, sidecars, startCommand } = desired;
    const forSidecars = sidecars.reduce((sum, sidecar) => sum + sidecar.memoryMb, 0);
    this.#members = [
      member(APP_PROCESS, processSourceType(owner), startCommand, memoryMb - forSidecars),
      ...sidecars.map((sidecar, i) =>
        member(`sidecar-${i}`, sidecarSourceType(owner, sidecar.name), sidecar.command, sidecar.memoryMb || memoryMb),
      ),
    ];
  }

  /** Whose lines the app's are. */
  get appOrigin(): LogOrigin {
    return this.#members[0].origin;
  }

  /** Their lines carry these names from now on. */
  rename(names: LogNames): void {
    for (const { origin } of this.#members) renameOrigin(origin, names);
  }

  get started(): boolean {
    return this.#members[0].process !== null;
  }

  /** The app's own, for a session beside it. */
  environment(container: Container): Record<string, string> {
    const facts = this.#environmentFacts(container, this.#members[0]);
    // What an image sets itself is known while the cell process that prepared it lives.
    return this.#runnable?.process(this.#members[0].command, facts).environment ?? this.#adopted(container, facts);
  }

  async start(container: Container, runnable: Runnable): Promise<void> {
    this.#runnable = runnable;
    await Promise.all(
      this.#members.map(async (member) => {
        const process = runnable.process(member.command, this.#environmentFacts(container, member));
        member.process = await container.run({ id: member.id, ...process });
      }),
    );
  }

  /** Takes over what runs in a container that outlived the cell's last process; false where not all of it was started. */
  async adopt(container: Container): Promise<boolean> {
    const running = await container.processes();
    for (const member of this.#members) member.process = running.find(({ id }) => id === member.id) ?? null;
    return this.#members.every(({ process }) => process !== null);
  }

  /** Sends their lines to the log cache; resolves with the first end of one of them. */
  watch(): Promise<Ending> {
    return Promise.race(this.#members.map((member) => this.#watchOne(member)));
  }

  /** SIGTERM, `graceMs` to finish, SIGKILL; all at once. */
  async end(graceMs: number): Promise<void> {
    await Promise.all(this.#members.map(({ process }) => process && endProcess(process, graceMs)));
  }

  /** Sends what is left of their lines. */
  async finish(): Promise<void> {
    await Promise.all(this.#members.map(({ following }) => following?.finish()));
  }

  /** Once the container is gone. */
  forget(): void {
    for (const { id } of this.#members) this.#context.logs.forget(this.#facts.instanceGuid, id);
  }

  async #watchOne(member: Member): Promise<Ending> {
    const { logs } = this.#context;
    const { process, origin } = member;
    if (!process) return new Promise(() => {});
    const { instanceGuid: handle, rateLimit } = this.#facts;
    member.following = logs.follow({ handle, processId: process.id, path: process.logPath, origin, rateLimit });
    const exit = await process.exit;
    // What it said last comes before the line about its end.
    await member.following.finish();
    logs.line(origin, `Exit status ${exit.exitCode}${exit.outOfMemory ? ' (out of memory)' : ''}`);
    return { kind: 'crashed', reason: exitReason(origin.tags['source_type']!, exit) };
  }

  /** Its container may stand on the stack of an earlier version. */
  #adopted(container: Container, facts: EnvironmentFacts): Record<string, string> {
    const { environment, dockerImage } = this.#facts.desired;
    return containerEnvironment(environment, dockerImage ? facts : { ...facts, locale: localeIn(container) });
  }

  #environmentFacts(container: Container, member: Member): EnvironmentFacts {
    const { desired, index, instanceGuid } = this.#facts;
    return {
      hostAddress: this.#context.address,
      address: container.address,
      instanceGuid,
      memoryMb: member.memoryMb,
      lrp: { index, ports: desired.ports, tlsProxyPort: this.#context.proxyPort },
    };
  }
}
