import { mkdirSync } from 'node:fs';
import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fromJsonString, toJsonString } from '@bufbuild/protobuf';
import { type CompleteTaskRequest, CompleteTaskRequestSchema } from '../../contracts/gen/diego_pb.js';

/** Results of tasks on disk until the registry has them: neither its absence nor the cell's end loses one. */
export class TaskResults {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  async keep(result: CompleteTaskRequest): Promise<void> {
    const path = this.#path(result.taskGuid);
    await writeFile(`${path}.new`, toJsonString(CompleteTaskRequestSchema, result), { mode: 0o600, flush: true });
    await rename(`${path}.new`, path);
  }

  async forget(taskGuid: string): Promise<void> {
    await rm(this.#path(taskGuid), { force: true });
  }

  /** What was kept by an earlier process. A file that cannot be read is left out: the registry times the task out. */
  async kept(): Promise<CompleteTaskRequest[]> {
    const names = (await readdir(this.#directory)).filter((name) => name.endsWith('.json'));
    const results = await Promise.all(
      names.map(async (name) => {
        try {
          return [fromJsonString(CompleteTaskRequestSchema, await readFile(join(this.#directory, name), 'utf8'))];
        } catch {
          return [];
        }
      }),
    );
    return results.flat();
  }

  #path(taskGuid: string): string {
    return join(this.#directory, `${taskGuid.replaceAll(/[^\w-]/g, '_')}.json`);
  }
}
