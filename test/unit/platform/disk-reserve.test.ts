import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diskReserveOf } from '../../../src/platform/disk-reserve.ts';

const GIBIBYTE = 1024 ** 3;
const of = (gibibytes: number) => ({ total: gibibytes * GIBIBYTE, free: 0 });

test('what is left free of a disk is what the operator says', () => {
  assert.equal(diskReserveOf({ storage: { reserve: 2048 } })(of(10)), 2 * GIBIBYTE);
});

test('unless told it is a twentieth, at most 4 GiB', () => {
  for (const storage of [undefined, {}]) {
    const reserve = diskReserveOf({ storage });
    assert.deepEqual([reserve(of(20)), reserve(of(1000))], [GIBIBYTE, 4 * GIBIBYTE]);
  }
});
