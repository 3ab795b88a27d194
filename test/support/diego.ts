import { randomBytes } from 'node:crypto';
import { after, afterEach, before, beforeEach } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { type Client, type Code, ConnectError } from '@connectrpc/connect';
import { type Kysely, sql } from 'kysely';
import { CellOperations } from '../../src/contracts/gen/cell-operations_pb.js';
import {
  CloudControllerInternal,
  type LrpCrashedRequest,
  type LrpReadinessRequest,
  type TaskCompletedRequest,
} from '../../src/contracts/gen/cloud-controller_pb.js';
import { type ActualLrp, Bbs, type DesiredLrp, DesiredLrpSchema } from '../../src/contracts/gen/diego_pb.js';
import { Diego } from '../../src/diego/diego.ts';
import type { DiegoRoom, DiegoSettings } from '../../src/diego/index.ts';
import { diegoRoutes } from '../../src/diego/routes.ts';
import type { BbsSchema } from '../../src/diego/schema.ts';
import { type Bus, LocalBus } from '../../src/kit/bus.ts';
import { Sealer } from '../../src/kit/crypto.ts';
import { Logger } from '../../src/kit/log.ts';
import { client, inMemoryTransport } from '../../src/kit/rpc.ts';
import { FakeCell, type FakeCellOptions } from './cells.ts';
import { startTestPostgresql, type TestPostgresql } from './postgresql.ts';

/** Less than after which Diego counts itself as away. */
const STEP_MS = 5_000;

/** One or several Diegos on one database, with fake cells and a Cloud Controller that listens. */
export class TestFoundation {
  readonly bus: Bus = new LocalBus();
  readonly cells = new Map<string, FakeCell>();
  /** Every line that was logged. */
  readonly logged: string[] = [];
  readonly crashes: LrpCrashedRequest[] = [];
  readonly readiness: LrpReadinessRequest[] = [];
  readonly completions: TaskCompletedRequest[] = [];
  /** How many of the next completions the Cloud Controller fails to take. */
  failCompletions = 0;
  failCrashReports = false;
  /** Null: the real time. Set: it stands still there. */
  now: number | null = null;
  /** Sweeps that are done. */
  #sweeps = 0;
  readonly #sealer = new Sealer([{ label: 'one', key: randomBytes(32) }]);
  readonly #postgresql: TestPostgresql;
  readonly #diegos: DiegoRoom[] = [];
  readonly #opened: Kysely<BbsSchema>[] = [];
  readonly #cloudController = client(
    CloudControllerInternal,
    inMemoryTransport((router) =>
      router.service(CloudControllerInternal, {
        taskCompleted: (request) => {
          if (this.failCompletions > 0) {
            this.failCompletions -= 1;
            throw new Error('not now');
          }
          this.completions.push(request);
          return {};
        },
        lrpCrashed: (request) => {
          if (this.failCrashReports) throw new Error('not now');
          this.crashes.push(request);
          return {};
        },
        lrpReadinessChanged: (request) => {
          this.readiness.push(request);
          return {};
        },
      }),
    ),
  );

  constructor(postgresql: TestPostgresql) {
    this.#postgresql = postgresql;
  }

  async addDiego(settings: Partial<DiegoSettings> = {}): Promise<DiegoRoom> {
    const db = this.#postgresql.open<BbsSchema>('bbs');
    this.#opened.push(db);
    const diego = new Diego({
      db,
      sealer: this.#sealer,
      bus: this.bus,
      log: new Logger('test', {}, (line) => this.logged.push(line), 'debug'),
      clock: () => this.now ?? Date.now(),
      rep: ({ cellId }) => this.cells.get(cellId)!.rep,
      cloudController: this.#cloudController,
      settings,
    });
    const { converger } = diego;
    const sweep = converger.sweep.bind(converger);
    converger.sweep = async () => {
      await sweep();
      this.#sweeps += 1;
    };
    await diego.start();
    const room: DiegoRoom = {
      routes: diegoRoutes(diego),
      start: () => diego.start(),
      close: () => diego.close(),
      wake: () => diego.wake(),
    };
    this.#diegos.push(room);
    return room;
  }

  /** Time goes on by so much while the given cells are heard of, in steps: Diego looks at each. */
  async pass(milliseconds: number, heard: readonly FakeCell[]): Promise<void> {
    for (let left = milliseconds; left > 0; left -= STEP_MS) {
      this.now = this.now! + Math.min(left, STEP_MS);
      for (const cell of heard) await cell.heartbeat();
      const before = this.#sweeps;
      await until(() => this.#sweeps >= before + 2); // one may have begun before the heartbeats
    }
  }

  get diego(): DiegoRoom {
    return this.#diegos[0]!;
  }

  get bbs(): Client<typeof Bbs> {
    return this.bbsOf(this.diego);
  }

  bbsOf(diego: DiegoRoom): Client<typeof Bbs> {
    return client(Bbs, inMemoryTransport(diego.routes));
  }

  get operations(): Client<typeof CellOperations> {
    return client(CellOperations, inMemoryTransport(this.diego.routes));
  }

  /** A cell that has made itself known. */
  async addCell(options: FakeCellOptions): Promise<FakeCell> {
    const cell = new FakeCell(options, this.diego.routes);
    this.cells.set(options.cellId, cell);
    await cell.heartbeat();
    return cell;
  }

  async close(): Promise<void> {
    for (const diego of this.#diegos) await diego.close();
    for (const cell of this.cells.values()) await cell.settled();
    await this.bus.close();
    for (const db of this.#opened) await db.destroy(); // a server has only so many connections
  }

  /** The actual LRPs of a process once `condition` holds for them. */
  async lrps(processGuid: string, condition: (lrps: readonly ActualLrp[]) => boolean): Promise<ActualLrp[]> {
    let lrps: ActualLrp[] = [];
    await until(
      async () => {
        lrps = (await this.bbs.actualLrps({ processGuids: [processGuid] })).actualLrps;
        return condition(lrps);
      },
      () =>
        JSON.stringify(lrps.map(({ index, state, cellId, placementError }) => [index, state, cellId, placementError])),
    );
    return lrps;
  }

  running(processGuid: string, instances: number): Promise<ActualLrp[]> {
    return this.lrps(
      processGuid,
      (lrps) => lrps.length === instances && lrps.every(({ state }) => state === 'RUNNING'),
    );
  }
}

export const NOON = Date.UTC(2030, 0, 1, 12);
export const IMPATIENT = { sweepIntervalMs: 20, auctionIntervalMs: 20 };

/** What the tests of a file have at hand. */
export interface EachFoundation {
  readonly foundation: TestFoundation;
  readonly db: Kysely<BbsSchema>;
  /** Closes the foundation; the test goes on with another one on the same database. */
  replace(settings: Partial<DiegoSettings>): Promise<void>;
}

/** To be called once in a test file: a PostgreSQL for the file, and for each test a foundation with one Diego. */
export function eachTestHasAFoundation(
  settings: Partial<DiegoSettings> = {},
  now: number | null = null,
): EachFoundation {
  let postgresql: TestPostgresql;
  let db: Kysely<BbsSchema>;
  let foundation: TestFoundation;
  before(async () => {
    postgresql = await startTestPostgresql(['bbs']);
    db = postgresql.open<BbsSchema>('bbs');
  });
  after(() => postgresql.stop());
  beforeEach(async () => {
    foundation = new TestFoundation(postgresql);
    foundation.now = now;
    await foundation.addDiego(settings);
  });
  afterEach(async () => {
    await foundation.close();
    await sql`TRUNCATE desired_lrps, actual_lrps, tasks, cells, cell_drains, evacuating_lrps, notices`.execute(db);
  });
  return {
    get foundation() {
      return foundation;
    },
    get db() {
      return db;
    },
    async replace(others) {
      await foundation.close();
      foundation = new TestFoundation(postgresql);
      await foundation.addDiego(others);
    },
  };
}

/** For `assert.rejects`: the call failed with this code. */
export const failsWith = (code: Code) => (error: unknown) => ConnectError.from(error).code === code;

export function desired(processGuid: string, more: MessageInitShape<typeof DesiredLrpSchema> = {}): DesiredLrp {
  return create(DesiredLrpSchema, {
    processGuid,
    instances: 1,
    stack: 'debian12',
    memoryMb: 64,
    diskMb: 128,
    ports: [8080],
    startCommand: 'node server.js',
    ...more,
  });
}

/** Waits for what must become true in a moment; fails with what was seen last. */
export async function until(
  condition: () => Promise<boolean> | boolean,
  seen: () => string = () => '',
  patienceMs = 5_000,
): Promise<void> {
  const giveUpAt = performance.now() + patienceMs;
  while (!(await condition())) {
    if (performance.now() > giveUpAt) throw new Error(`it did not become true; seen last: ${seen()}`);
    await sleep(5);
  }
}
