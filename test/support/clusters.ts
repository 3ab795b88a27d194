import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { pinEngines, unpinAll, useEngines } from '../../src/kit/engines.ts';
import { Logger } from '../../src/kit/log.ts';
import { makeDirectory } from '../../src/kit/owned-files.ts';
import { type ProcessIdentity, run } from '../../src/kit/process.ts';
import type { Component } from '../../src/platform/components/component.ts';
import { clusterPlacesOf, postgresql } from '../../src/platform/components/postgresql.ts';
import { machinePrograms, versionsIn } from '../../src/platform/engines/postgresql/programs.ts';
import {
  createRooms,
  type PostgresqlSettings,
  preparePostgresql,
  startPostgresql,
  stopPostgresql,
} from '../../src/platform/engines/postgresql/server.ts';
import { endProcessesAs } from '../../src/platform/host/accounts.ts';
import { type TestParts, testParts } from './component-parts.ts';
import { imageRoot } from './haproxy.ts';

/** The machine's version of PostgreSQL, which code of before ran, and the image's. */
export const [FORMER, NEWEST] = [versionsIn(null)[0] ?? 0, versionsIn(imageRoot())[0]!] as const;

/** An installation's database: as code of before left it, and as this one's supervisor has it. */
export class TestDatabase {
  readonly made: TestParts;
  readonly #pins: string;

  private constructor(made: TestParts) {
    this.made = made;
    this.#pins = `${made.parts.layout.run}/engines`;
  }

  /** `id`: three letters no other has. Needs root. */
  static async make(id: string, port: number, log?: Logger): Promise<TestDatabase> {
    const database = new TestDatabase(await testParts(id, port, log));
    makeDirectory(database.#clusters, { mode: 0o755 });
    return database;
  }

  get #base(): string {
    return `${this.made.parts.layout.run}/postgresql`;
  }

  get #clusters(): string {
    return `${this.#base}/clusters`;
  }

  get places() {
    return clusterPlacesOf(this.made.parts.layout, this.made.parts.accounts.postgresql);
  }

  /** As a supervisor that begins has it. To be called again for another one: it enters the image anew. */
  async component(log = this.made.parts.log): Promise<Component> {
    const tree = { pin: join(this.#pins, `supervisor.${Date.now()}`), root: imageRoot() };
    await pinEngines(tree);
    useEngines(tree);
    mkdirSync(this.made.parts.layout.engines, { recursive: true });
    return postgresql({ ...this.made.parts, engineRoot: tree.root, log });
  }

  /** The cluster as code of before has it. */
  get #former(): PostgresqlSettings {
    const { postgresql: account } = this.made.parts.accounts;
    return {
      programs: machinePrograms(FORMER),
      dataDirectory: this.places.former,
      configDirectory: `${this.#base}/config`,
      socketDirectory: `${this.#base}/socket`,
      account,
      client: this.made.parts.accounts.control,
      database: 'cupola',
      rooms: ['uaa', 'cc', 'bbs'],
    };
  }

  /** Code of before starts it, and makes it where it is not there. */
  async startFormer(): Promise<ProcessIdentity> {
    await preparePostgresql(this.#former);
    const identity = await startPostgresql(this.#former, join(this.#former.dataDirectory, 'server.log'));
    await createRooms(this.#former);
    return identity;
  }

  async stopFormer(): Promise<void> {
    await stopPostgresql(this.#former);
  }

  /** Of whatever serves. */
  async query(text: string): Promise<string> {
    const target = [
      '-h',
      this.#former.socketDirectory,
      '-U',
      'postgres',
      '-d',
      'cupola',
      '-X',
      '-q',
      '-A',
      '-t',
      '-c',
      text,
    ];
    return (await run('psql', target, { account: this.#former.account, cwd: '/', showWords: true })).trim();
  }

  /** The major version that serves, and the rows of a table of the test's. */
  async served(): Promise<{ version: number; rows: string }> {
    const version = Math.floor(Number(await this.query('SHOW server_version_num')) / 10_000);
    return { version, rows: await this.query("SELECT string_agg(word, ' ' ORDER BY word) FROM cc.kept") };
  }

  /** Ends what runs of it. */
  async end(): Promise<void> {
    await endProcessesAs([this.made.parts.accounts.postgresql], this.#base);
  }

  /** Ends what runs of it, too. */
  async remove(): Promise<void> {
    await this.end();
    useEngines(null);
    await unpinAll(this.#pins);
    await this.made.remove();
  }
}

/** A log that has `told` called at each step of a carrying over. */
export function stepLog(told: (step: string) => void): Logger {
  return new Logger('test', {}, (line) => {
    const step = /carrying data over: ([a-z ]+)/.exec(line)?.[1];
    if (step !== undefined) told(step);
  });
}
