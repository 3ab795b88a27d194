import assert from 'node:assert/strict';

/** /proc/self/status: filtered by seccomp, no privilege to gain, no capability, user and group vcap. */
export function assertConfined(status: string): void {
  assert.match(status, /^Seccomp:\t2$/m);
  assert.match(status, /^NoNewPrivs:\t1$/m);
  for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
    assert.match(status, new RegExp(`^${set}:\\t0{16}$`, 'm'));
  }
  assert.match(status, /^Uid:\t2000\t2000\t2000\t2000$/m);
  assert.match(status, /^Gid:\t2000\t2000\t2000\t2000$/m);
}
