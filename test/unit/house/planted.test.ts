import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Planted } from '../../support/planted.ts';

test('a planted secret is found in files, however it is written there', () => {
  const directory = mkdtempSync(join(tmpdir(), 'cupola-planted-'));
  try {
    const planted = new Planted();
    const secret = planted.make('a password');
    const other = planted.make('another');
    mkdirSync(join(directory, 'deep'));
    const written = {
      plain: `x${secret}y`,
      hex: Buffer.from(secret).toString('hex'),
      ...Object.fromEntries(
        ['', 'a', 'ab', 'abc'].map((before, index) => [
          `base64-${index}`,
          Buffer.from(`${before}${secret}z`).toString('base64'),
        ]),
      ),
      'deep/both': `${secret} ${other}`,
      harmless: secret.slice(0, -1),
    };
    for (const [name, text] of Object.entries(written)) writeFileSync(join(directory, name), text);
    const { files, found } = planted.inFiles([directory], [join(directory, 'hex')]);
    assert.equal(files, Object.keys(written).length - 1);
    assert.deepEqual(found.map((one) => one.slice(directory.length + 1)).sort(), [
      'base64-0: a password',
      'base64-1: a password',
      'base64-2: a password',
      'base64-3: a password',
      'deep/both: a password',
      'deep/both: another',
      'plain: a password',
    ]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
