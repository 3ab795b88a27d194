import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startFailure } from '../../../src/cell/rep/endings.ts';
import { CupolaError } from '../../../src/kit/errors.ts';

test('why a container did not start is told in words its developer can use, and without the inside', () => {
  const refused = (why: string) =>
    startFailure(new CupolaError('container_runtime_failed', `refused: level=error msg="exec failed: ${why}"`));
  assert.equal(
    refused('unable to start: exec: \\"/bin/sh\\": stat /bin/sh: no such file or directory'),
    'Failed to start "/bin/sh": no such file',
  );
  assert.equal(
    refused('exec: \\"srv\\": executable file not found in $PATH'),
    'Failed to start "srv": executable file not found',
  );
  assert.equal(refused('error mounting /var/lib/secret'), 'Failed to create container');
  assert.equal(
    startFailure(new CupolaError('image_unsupported', 'the image has no layers')),
    'the image has no layers',
  );
  assert.equal(
    startFailure(new CupolaError('archive_refused', 'tar: /x')),
    'The content of the app could not be unpacked',
  );
  assert.equal(startFailure(new Error('/etc/secret')), 'Failed to create container');
});
