import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dial } from '../../../src/cell/garden/dial.ts';
import { Runtime } from '../../../src/cell/garden/runtime.ts';
import { CupolaError } from '../../../src/kit/errors.ts';
import { type Program, startProgram } from '../../../src/kit/posix-spawn.ts';
import { identify, PLAIN_ENVIRONMENT } from '../../../src/kit/process.ts';

const MIB = 1024 ** 2;

/** A container in which a program of its own answers for names. */
class Hostile extends Runtime {
  readonly #script: string;
  program: Program | undefined;

  constructor(script: string) {
    super('/nonexistent', 0);
    this.#script = script;
  }

  override execPiped(): Program {
    this.program = startProgram('sh', ['-c', this.#script], { env: PLAIN_ENVIRONMENT });
    return this.program;
  }
}

test('SECURITY 25: a container whose name service never ends its answer costs the cell neither memory nor time', async () => {
  for (const script of ['exec yes 127.0.0.1', 'exec yes 127.0.0.1 >&2']) {
    const runtime = new Hostile(script);
    const init = identify(process.pid)!;
    const before = process.memoryUsage.rss();
    const began = Date.now();
    const dialled = dial({ runtime, containerId: 'x', init, host: 'name.test', port: 9 });
    await assert.rejects(dialled, (error) => error instanceof CupolaError && error.code === 'connection_refused');
    assert.ok(process.memoryUsage.rss() - before < 100 * MIB);
    assert.ok(Date.now() - began < 15_000, 'no longer than a name may take');
    await runtime.program?.ended;
  }
});
