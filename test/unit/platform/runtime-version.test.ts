import assert from 'node:assert/strict';
import { test } from 'node:test';
import { upstreamVersion } from '../../../src/platform/buildpacks/runtime.ts';

test('a runtime has the version of its program, not that of the distribution’s package', () => {
  for (const [packaged, version] of [
    ['3.11.2-6+deb12u9', '3.11.2'],
    ['1:1.22.1-9', '1.22.1'],
    ['8.2.29-1~deb12u1', '8.2.29'],
    ['3.1.7+really3.1.2-0+deb12u1', '3.1.2'],
  ] as const) {
    assert.equal(upstreamVersion(packaged), version);
  }
});
