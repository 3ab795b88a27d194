import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { readDamagedArchives, readDamagedManifests } from '../support/damaged-input.ts';

const MANY = 30_000;
/** Another in each run: what fails names it. */
const seed = randomInt(2 ** 31);

test('SECURITY 24: of 30,000 archives that are damaged in new ways each is read as what it says or refused', async () => {
  const refused = await readDamagedArchives(seed, MANY);
  assert.ok(refused > MANY / 5 && refused < MANY, `${refused} were refused`);
});

test('SECURITY 25: of 30,000 manifests that are damaged in new ways each is read, answered with its problems, or refused', async () => {
  const read = await readDamagedManifests(seed, MANY);
  assert.ok(read > MANY / 10 && read < MANY, `${read} were read`);
});
