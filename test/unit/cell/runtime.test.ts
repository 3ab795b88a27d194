import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Runtime } from '../../../src/cell/garden/runtime.ts';
import { useEngines } from '../../../src/kit/engines.ts';

const root = mkdtempSync(join(tmpdir(), 'runtime-'));
after(() => {
  useEngines(null);
  rmSync(root, { recursive: true });
});

test('where there are no engines yet, what takes an installation away asks for none; a container does', async () => {
  useEngines({ pin: join(root, 'pin'), root });
  const runtime = new Runtime(root, 1_000);
  await assert.rejects(runtime.start('x', root, join(root, 'x')), /runc is not installed/);
});
