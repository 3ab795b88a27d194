import { create } from '@bufbuild/protobuf';
import { type ActualLrp, ActualLrpSchema } from '../../contracts/gen/diego_pb.js';
import type { RepContext } from './collaborators.ts';
import type { Ending } from './endings.ts';
import type { Verdict } from './reports.ts';

/** Which instance is reported on. */
export interface LrpIdentity {
  processGuid: string;
  index: number;
  instanceGuid: string;
  ports: readonly number[];
}

/** What the registry is told of one instance; each report is repeated until it is taken. */
export class LrpReports {
  readonly #context: RepContext;
  readonly #identity: LrpIdentity;
  /** Of the container, once there is one. */
  address = '';
  /** Whether it is to get requests: what the next report of its running says. */
  routable = true;

  constructor(context: RepContext, identity: LrpIdentity) {
    this.#context = context;
    this.#identity = identity;
  }

  claim(stop: AbortSignal): Promise<Verdict> {
    return this.#context.reports.deliver(
      'claim',
      (signal) => this.#context.registry.claimActualLrp(this.#actual('CLAIMED'), { signal }),
      stop,
    );
  }

  start(stop?: AbortSignal): Promise<Verdict> {
    return this.#context.reports.deliver(
      'start',
      (signal) => this.#context.registry.startActualLrp(this.#actual('RUNNING'), { signal }),
      stop,
    );
  }

  async end(ending: Ending): Promise<void> {
    const { registry, reports } = this.#context;
    switch (ending.kind) {
      case 'crashed': {
        const actual = this.#actual('CRASHED', ending.reason);
        await reports.deliver('crash', (signal) => registry.crashActualLrp(actual, { signal }));
        return;
      }
      case 'stopped':
        await reports.deliver('removal', (signal) => registry.removeActualLrp(this.#actual('CLAIMED'), { signal }));
        return;
      case 'lost':
        return;
    }
  }

  #actual(state: string, crashReason = ''): ActualLrp {
    const { processGuid, index, instanceGuid, ports } = this.#identity;
    return create(ActualLrpSchema, {
      processGuid,
      index,
      instanceGuid,
      cellId: this.#context.cellId,
      state,
      ...(state === 'RUNNING' ? { routable: this.routable } : {}),
      crashReason,
      sinceNs: BigInt(this.#context.now()) * 1_000_000n,
      instanceAddress: this.address,
      hostAddress: this.#context.address,
      // The proxy serves an instance by one name, so by one port.
      ports: this.address
        ? ports.slice(0, 1).map((containerPort) => ({ containerPort, hostTlsProxyPort: this.#context.proxyPort }))
        : [],
    });
  }
}
