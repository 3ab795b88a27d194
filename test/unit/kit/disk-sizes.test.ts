import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { type DiskSizes, hasMoreThan } from '../../../src/kit/disk-sizes.ts';

test('a disk has room while more of it is free than its reserve, which may be a share of it', async () => {
  const asked: DiskSizes[] = [];
  const reserve = (free: number) => (sizes: DiskSizes) => {
    asked.push(sizes);
    return sizes.free + free;
  };
  assert.equal(await hasMoreThan(reserve(-1), tmpdir()), true);
  assert.equal(await hasMoreThan(reserve(0), tmpdir()), false);
  assert.ok(asked.every(({ total, free }) => total > free && free > 0));
});
