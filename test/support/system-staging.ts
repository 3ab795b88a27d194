import assert from 'node:assert/strict';
import type { Container } from '../../src/cell/garden/garden.ts';
import type { GardenSettings } from '../../src/cell/garden/settings.ts';
import type { Buildpack } from '../../src/contracts/gen/diego_pb.js';
import { TestBlobs, testBuildpacks } from './buildpacks.ts';
import { startTestGarden, type TestGarden } from './garden.ts';
import {
  answerOf,
  launch,
  type NameServer,
  type Staged,
  type StageRequest,
  stage,
  startNameServer,
} from './staging.ts';
import { type ZipItem, zipOf } from './zips.ts';

/** An app: its package, its files by path, or those with their modes. */
export type App = Buffer | Readonly<Record<string, string | Buffer>> | readonly ZipItem[];

/** A staging, with all that it said as one text. */
export interface Tried extends Staged {
  said: string;
}

/** A garden with the system buildpacks. What a staging does not name is not unpacked: that takes longer than the staging. */
export class SystemStaging {
  readonly garden: TestGarden;
  readonly #blobs: TestBlobs;
  readonly #system: readonly Buildpack[];
  readonly #names: NameServer | null;

  private constructor(garden: TestGarden, blobs: TestBlobs, system: readonly Buildpack[], names: NameServer | null) {
    this.garden = garden;
    this.#blobs = blobs;
    this.#system = system;
    this.#names = names;
  }

  /** Each caller takes another prefix and range. `names`: containers may ask for names. */
  static async start(
    prefix: string,
    range: string,
    { names = false, ...settings }: Partial<GardenSettings> & { names?: boolean } = {},
  ): Promise<SystemStaging> {
    const built = await testBuildpacks();
    const garden = await startTestGarden(prefix, range, settings);
    const blobs = new TestBlobs();
    const system = built.map(({ name, file, sha256 }) => blobs.buildpack(name, sha256, { file }, sha256));
    return new SystemStaging(garden, blobs, system, names ? await startNameServer('169.254.1.1') : null);
  }

  async stop(): Promise<void> {
    await this.#names?.stop();
    await this.garden.stop();
  }

  /** The buildpacks of these languages, as an app that names them has them. */
  asked(...languages: string[]): Buildpack[] {
    return languages.map((language) => {
      const found = this.#system.find(({ name }) => name === `${language}_buildpack`);
      assert.ok(found, language);
      return { ...found, skipDetect: true };
    });
  }

  /** Stages without naming a buildpack: all of them are unpacked for it. */
  detect(app: App, more: Partial<StageRequest> = {}): Promise<Tried> {
    return this.try([...this.#system], app, more);
  }

  /** Stages with the buildpack of a language, or with those of `asked`, whatever comes of it. */
  async try(by: string | Buildpack[], app: App, more: Partial<StageRequest> = {}): Promise<Tried> {
    const buildpacks = typeof by === 'string' ? this.asked(by) : by;
    const result = await stage(this.garden, this.#blobs, { source: await packageOf(app), buildpacks, ...more });
    return { ...result, said: result.lines.join('\n') };
  }

  /** The same where it must succeed. */
  async stage(by: string | Buildpack[], app: App, more: Partial<StageRequest> = {}): Promise<Tried> {
    const result = await this.try(by, app, more);
    assert.equal(result.failureReason, '', result.said);
    return result;
  }

  /** What a staging said where its buildpack must refuse the app. */
  async refusal(by: string, app: App): Promise<string> {
    const result = await this.try(by, app);
    assert.match(result.failureReason, /^BuildpackCompileFailed: /, result.said);
    return result.said;
  }

  /** Starts what a staging made, as its web process unless told otherwise. */
  launch({ droplet, result }: Staged, command = result!.process_types['web']!): Promise<Container> {
    return launch(this.garden, droplet!, command);
  }

  /** What the app that a staging made answers at its root. */
  async page(staged: Staged, command?: string): Promise<string> {
    return (await answerOf(await this.launch(staged, command), '/')).text();
  }
}

async function packageOf(app: App): Promise<Buffer> {
  if (Buffer.isBuffer(app)) return app;
  return zipOf(isItems(app) ? app : Object.entries(app).map(([path, body]) => ({ path, body })));
}

function isItems(app: Exclude<App, Buffer>): app is readonly ZipItem[] {
  return Array.isArray(app);
}
