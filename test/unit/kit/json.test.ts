import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isRecord, JsonRefusedError, readJson } from '../../../src/kit/json.ts';

const refuses = (text: string, fault: string): void =>
  assert.throws(
    () => readJson(text),
    (error) => error instanceof JsonRefusedError && error.fault === fault,
  );

test('SECURITY 25: what is no JSON, too deep, plays with prototypes or holds a forbidden character is refused wherever it stands', () => {
  refuses('{"a":', 'malformed');
  refuses(`${'['.repeat(33)}${']'.repeat(33)}`, 'too deep');
  for (const name of ['__proto__', '\\u005f_proto__']) refuses(`[{"a":{"${name}":1}}]`, 'forbidden name');
  for (const text of ['\\u0000', '\\ud800', '\\udc00x']) {
    refuses(`[{"a":["${text}"]}]`, 'forbidden character');
    refuses(`[{"${text}":1}]`, 'forbidden character');
  }
  assert.deepEqual(readJson('{"a":"\\ud83d\\ude00 \\u00e9","b":[1,null,{}]}'), { a: '😀 é', b: [1, null, {}] });
});

test('SECURITY 25: a text of more values than any client sends is refused before anything is built of it', () => {
  assert.deepEqual(readJson(`["${','.repeat(200_000)}"]`), [','.repeat(200_000)]);
  assert.ok(Array.isArray(readJson(`[${'0,'.repeat(100_000)}0]`)));
  refuses(`[${'0,'.repeat(100_001)}0]`, 'too many values');
  refuses(`[${'{},'.repeat(1_000_000)}`, 'too many values');
  const names = (count: number): string => `{${Array.from({ length: count }, (_, at) => `"n${at}:":{"a":1}`).join()}}`;
  assert.equal(Object.keys(readJson(names(10_000)) as object).length, 10_000);
  refuses(names(10_001), 'too many values');
  refuses(`[{"a":${names(10_001)}}]`, 'too many values');
  assert.ok(Array.isArray(readJson(`[${'{"a":1},'.repeat(30_000)}1]`)));
});

test('a record is what has names: no list, no null, no text', () => {
  for (const value of [{}, { a: 1 }, Object.create(null)]) assert.equal(isRecord(value), true);
  for (const value of [null, undefined, [], 'a', 1, true]) assert.equal(isRecord(value), false);
});
