import type { RouteEntry, RoutingTableResponse } from '../contracts/gen/diego_pb.js';
import { inTurns } from '../kit/turns.ts';
import { Fingerprints } from './fingerprints.ts';
import { byProcess } from './process-routes.ts';

export interface TableRequest {
  processGuids?: string[];
  atMost?: number;
  after?: string;
}

/** All LRPs with their entries, asked for a page at a time while they are read; once. */
export class WholeTable implements AsyncIterable<[string, RouteEntry[]]> {
  readonly #ask: (request: TableRequest) => Promise<RoutingTableResponse | null>;
  readonly #atMost: number;
  /** Of what was read; null where a Diego answered that does not know of them. */
  fingerprints: Fingerprints | null = new Fingerprints();
  /** Whether the BBS answered up to the end. */
  isWhole = false;

  constructor(ask: (request: TableRequest) => Promise<RoutingTableResponse | null>, atMost: number) {
    this.#ask = ask;
    this.#atMost = atMost;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<[string, RouteEntry[]]> {
    for (let after = ''; ; ) {
      const answer = await this.#ask({ atMost: this.#atMost, after });
      if (!answer) return;
      const processes = byProcess(answer.entries);
      if (!(await this.fingerprints?.update(processes))) this.fingerprints = null;
      yield* inTurns(processes);
      // A Diego that does not know of pages answers all.
      if (answer.last === '') break;
      after = answer.last;
    }
    this.isWhole = true;
  }
}
