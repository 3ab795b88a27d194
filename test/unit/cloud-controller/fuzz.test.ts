import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readDamagedArchives, readDamagedManifests } from '../../support/damaged-input.ts';

test('SECURITY 24: of 500 damaged archives each is read as what it says or refused; none is a surprise', async () => {
  const refused = await readDamagedArchives(24, 500);
  assert.ok(refused > 100 && refused < 500, `${refused} were refused`);
});

test('SECURITY 25: of 600 damaged manifests each is read, answered with its problems, or refused', async () => {
  const read = await readDamagedManifests(25, 600);
  assert.ok(read > 60 && read < 600, `${read} were read`);
});
