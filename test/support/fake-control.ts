import { clone, create } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import {
  type ActualLrp,
  ActualLrpSchema,
  CellRegistry,
  type CompleteTaskRequest,
  type Task,
  TaskSchema,
} from '../../src/contracts/gen/diego_pb.js';
import { type Envelope, Ingress } from '../../src/contracts/gen/loggregator_pb.js';
import { client, inMemoryTransport } from '../../src/kit/rpc.ts';
import { envelopesOf } from './envelopes.ts';

/** Control as a cell sees it, over the typed contract: remembers what was reported and can be made unreachable. */
export function fakeControl() {
  const calls: { what: string; lrp: ActualLrp }[] = [];
  const lrps = new Map<string, ActualLrp>();
  const tasks = new Map<string, Task>();
  const completed: CompleteTaskRequest[] = [];
  const envelopes: Envelope[] = [];
  const control = {
    away: false,
    /** Answers FAILED_PRECONDITION to these calls. */
    refuses: new Set<string>(),
    heartbeats: 0,
    /** How often a cell asked what it has. */
    compared: 0,
    /** What the answer to that waits for. */
    beforeAnswer: async (): Promise<void> => {},
    /** What the log cache waits for before it takes a batch. */
    beforeTaken: async (): Promise<void> => {},
    /** Of a log's end; undefined: a control that has no such call. */
    followersBehind: 0 as number | undefined,
    followersAsked: [] as string[],
    /** What the next heartbeat is told: the cell had been taken for lost. */
    returned: false,
    calls,
    lrps,
    tasks,
    completed,
    envelopes,
    /** What was reported, in order, as "claim", "start", "crash", "remove". */
    reports: (instanceGuid?: string) =>
      calls.filter(({ lrp }) => !instanceGuid || lrp.instanceGuid === instanceGuid).map(({ what }) => what),
    /** The text of log lines, in order. */
    lines: (sourceType?: string) =>
      envelopes.flatMap(({ message, tags }) =>
        message.case === 'log' && (!sourceType || tags['source_type'] === sourceType)
          ? [Buffer.from(message.value.payload).toString()]
          : [],
      ),
  };
  const report = (what: string, lrp: ActualLrp) => {
    reachable();
    if (control.refuses.has(what)) throw new ConnectError('not yours', Code.FailedPrecondition);
    calls.push({ what, lrp });
    if (what === 'claim' || what === 'start') lrps.set(lrp.instanceGuid, lrp);
    else lrps.delete(lrp.instanceGuid);
    return {};
  };
  const reachable = () => {
    if (control.away) throw new ConnectError('away', Code.Unavailable);
  };
  const transport = inMemoryTransport((router) => {
    router.service(CellRegistry, {
      heartbeat: () => {
        reachable();
        control.heartbeats += 1;
        const { returned } = control;
        control.returned = false;
        return { returned };
      },
      claimActualLrp: (lrp) => report('claim', lrp),
      startActualLrp: (lrp) => report('start', lrp),
      crashActualLrp: (lrp) => report('crash', lrp),
      removeActualLrp: (lrp) => report('remove', lrp),
      actualLrpsOfCell: async () => {
        reachable();
        control.compared += 1;
        const answer = [...lrps.values()].map((lrp) => clone(ActualLrpSchema, lrp));
        await control.beforeAnswer();
        return { actualLrps: answer };
      },
      tasksOfCell: () => {
        reachable();
        return { tasks: [...tasks.values()] };
      },
      startTask: ({ taskGuid }) => {
        reachable();
        if (control.refuses.has('startTask')) throw new ConnectError('not yours', Code.FailedPrecondition);
        const task = tasks.get(taskGuid) ?? create(TaskSchema, { taskGuid });
        task.state = 'RUNNING';
        tasks.set(taskGuid, task);
        return {};
      },
      completeTask: (result) => {
        reachable();
        completed.push(result);
        tasks.delete(result.taskGuid);
        return {};
      },
    });
    router.service(Ingress, {
      send: async ({ batch }) => {
        reachable();
        await control.beforeTaken();
        envelopes.push(...envelopesOf(batch));
        return {};
      },
      followers: ({ sourceId, sourceType }) => {
        reachable();
        control.followersAsked.push(`${sourceId} ${sourceType}`);
        if (control.followersBehind === undefined) throw new ConnectError('no such call', Code.Unimplemented);
        return { behind: control.followersBehind };
      },
    });
  });
  return { ...attach(control), registry: client(CellRegistry, transport), ingress: client(Ingress, transport) };
}

/** Keeps the object itself, so that `away` set from outside is seen inside. */
function attach<T extends object>(control: T): { control: T } {
  return { control };
}

/** Waits until `condition` holds; fails with `what` after `timeoutMs`, which leaves room for a busy machine. */
export async function eventually(what: string, condition: () => boolean | Promise<boolean>, timeoutMs = 15_000) {
  const deadline = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
