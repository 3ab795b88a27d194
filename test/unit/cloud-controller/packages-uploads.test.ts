import assert from 'node:assert/strict';
import { PassThrough, Readable } from 'node:stream';
import { test } from 'node:test';
import { CfError, notFound } from '../../../src/cloud-controller/errors.ts';
import { guid } from '../../../src/cloud-controller/guid.ts';
import { withUpload } from '../../../src/cloud-controller/packages/multipart.ts';
import { download } from '../../../src/cloud-controller/storage/download.ts';
import { afterFailure, keepBlob } from '../../../src/cloud-controller/storage/keep.ts';
import type { Storage } from '../../../src/cloud-controller/storage/ledger.ts';
import { BodyAccount } from '../../../src/kit/body-account.ts';
import { HttpRefusal } from '../../../src/kit/refusal.ts';
import { eventually } from '../../support/apps.ts';
import { TestBlobs } from '../../support/blobs.ts';
import { silentLog } from '../../support/postgresql.ts';

const contentType = 'multipart/form-data; boundary=x';
const field = (name: string, value: string) =>
  `--x\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
const file = (name: string, content: string) =>
  `--x\r\nContent-Disposition: form-data; name="${name}"; filename="a"\r\n\r\n${content}\r\n`;
const END = '--x--\r\n';

async function received(stream: Readable, texts: { add(bytes: number): void } | null = null, blobs = new TestBlobs()) {
  const room = await blobs.hold(0, []);
  const limits = { fileField: 'bits', maxBytes: 10_000_000 };
  return withUpload({ blobs, room }, { stream, contentType, texts }, limits, async (upload) => upload);
}

/** An account without bounds. */
class Counting {
  bytes = 0;
  add(bytes: number): void {
    this.bytes += bytes;
  }
}

/** A text as it comes over the network. */
function* chunksOf(text: string): Generator<Buffer> {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += 60_000) yield bytes.subarray(at, at + 60_000);
}

test('SECURITY 25: what is no file of a form counts as text while it comes, before it is a whole field', async () => {
  const texts = new Counting();
  const stream = new PassThrough();
  const upload = received(stream, texts);
  stream.write(field('resources', 'y'.repeat(500_000)).slice(0, -2));
  await eventually(() => texts.bytes >= 500_000);
  stream.end(`\r\n${END}`);
  assert.equal((await upload).fields.get('resources')?.length, 500_000);
});

test('the bytes of a file count as no text, and a field behind it does', async () => {
  const texts = new Counting();
  const content = 'z'.repeat(2_000_000);
  const whole = file('bits', content) + field('resources', 'y'.repeat(300_000)) + END;
  const upload = await received(Readable.from(chunksOf(whole)), texts);
  assert.equal(upload.file?.bytes, content.length);
  assert.ok(texts.bytes >= 300_000 && texts.bytes < 600_000, `${texts.bytes} bytes`);
});

test('SECURITY 25: fields past two mebibytes are refused, in one or in many, and an account that is full refuses them', async () => {
  const tooLong = (error: unknown) => error instanceof CfError && error.status === 413;
  const send = (text: string, texts: { add(bytes: number): void } | null = null) =>
    received(Readable.from(chunksOf(text)), texts);
  await assert.rejects(send(field('resources', 'y'.repeat(2_200_000)) + END), tooLong);
  await assert.rejects(
    send(Array.from({ length: 5 }, (_, at) => field(`f${at}`, 'y'.repeat(500_000))).join('') + END),
    tooLong,
  );
  const account = new BodyAccount({ bodies: 9, bodiesPerCaller: 9, bytes: 100_000, bytesPerCaller: 100_000 });
  const entry = account.enter(new PassThrough(), 'caller');
  await assert.rejects(
    send(field('resources', 'y'.repeat(200_000)) + END, entry),
    (error) => error instanceof HttpRefusal && error.kind === 'too_many_bodies',
  );
});

test('a disk that is full while a form comes is told as such, and ends the form', { timeout: 20_000 }, async () => {
  const blobs = new TestBlobs();
  blobs.free = 1000;
  const whole = file('bits', 'z'.repeat(100_000)) + END;
  await assert.rejects(
    received(Readable.from([Buffer.from(whole)]), null, blobs),
    (error) => error instanceof CfError && error.title === 'ServiceUnavailable',
  );
});

test('a blob that cannot be tidied away hides nothing of why it was refused', async () => {
  const blobs = new TestBlobs();
  blobs.free = 0;
  blobs.stat = () => Promise.reject(new Error('the disk is away'));
  const storage = { blobs, log: silentLog } as unknown as Storage;
  const blob = { kind: 'packages', key: 'one', organizationGuid: guid<'organization'>('org') } as const;
  const body = Readable.from([Buffer.from('x')]);
  const keeping = keepBlob(storage, blob, body, { maxBytes: 10, announced: 1 });
  await assert.rejects(keeping, (error) => error instanceof CfError && error.title === 'ServiceUnavailable');
  assert.equal(body.destroyed, true);
});

test('what could not be tidied up is tried again, while nobody waits for it', async () => {
  let tries = 0;
  const tidy = async () => {
    tries += 1;
    if (tries < 3) throw new Error('the database is away');
  };
  const blob = { kind: 'packages', key: 'one' } as const;
  await afterFailure({ log: silentLog }, 'tidy up after', blob, tidy, [1, 1, 1, 1]);
  assert.equal(tries, 1);
  await eventually(() => tries === 3);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(tries, 3);
});

test('a download that cannot be recorded is not opened, and one that is not there is not recorded', async () => {
  const blobs = new TestBlobs();
  await blobs.put('packages', 'one', Readable.from([Buffer.from('x')]), 10);
  const blob = { kind: 'packages', key: 'one', type: 'application/zip' } as const;
  const missing = notFound('Package');
  await assert.rejects(
    download(blobs, blob, missing, () => Promise.reject(new Error('no trail'))),
    /no trail/,
  );
  assert.equal(blobs.opened, 0);
  let recorded = 0;
  const record = async () => {
    recorded += 1;
  };
  await assert.rejects(download(blobs, { ...blob, key: 'other' }, missing, record), missing);
  assert.equal(recorded, 0);
  assert.equal((await download(blobs, blob, missing, record)).headers?.['content-length'], '1');
  assert.equal(recorded, 1);
});
