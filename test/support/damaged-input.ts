import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readManifest } from '../../src/cloud-controller/manifests/manifest.ts';
import { openArchive, PACKAGE_LIMITS } from '../../src/cloud-controller/packages/archive.ts';
import { ArchiveRefusedError } from '../../src/cloud-controller/packages/archive-refusal.ts';
import { readBoundedYaml, YamlRefusedError } from '../../src/kit/yaml.ts';
import { seeded } from './seeded.ts';
import { zipOf } from './zips.ts';

/** Numbers from 0 to below 1. */
function numbers(seed: number): () => number {
  const next = seeded(seed);
  return () => next() / 4_294_967_296;
}

/** Flips, overwrites, repeats or cuts a few bytes. */
function mutated(data: Buffer, random: () => number): Buffer {
  let copy = Buffer.from(data);
  const below = (limit: number): number => Math.floor(random() * limit);
  for (let count = 1 + below(6); count > 0 && copy.length > 8; count--) {
    const at = below(copy.length);
    const kind = below(5);
    if (kind === 0) copy[at] = copy[at]! ^ (1 << below(8));
    else if (kind === 1) copy[at] = below(256);
    else if (kind === 2)
      copy.writeUInt32LE([0, 1, 0x7fffffff, 0xffffffff, 0xfffe][below(5)]!, Math.min(at, copy.length - 4));
    else if (kind === 3) copy = Buffer.concat([copy.subarray(0, at), copy.subarray(Math.max(0, at - below(40)))]);
    else copy = Buffer.concat([copy.subarray(0, at), copy.subarray(at + below(20))]);
  }
  return copy;
}

/**
 * Damages an archive `count` times in other ways, by `seed`: each is read as what it says or refused, and fails where it is anything else.
 * Gives how many were refused.
 */
export async function readDamagedArchives(seed: number, count: number): Promise<number> {
  const random = numbers(seed);
  const directory = mkdtempSync('/tmp/cupola-fuzz-');
  const whole = await zipOf([
    { path: 'index.js', body: 'console.log(1);\n'.repeat(40) },
    { path: 'bin/' },
    { path: 'bin/run', body: '#!/bin/sh\n', mode: 0o100755 },
    { path: 'link', body: 'index.js', mode: 0o120777 },
    { path: 'zeros', body: Buffer.alloc(20_000) },
  ]);
  let refused = 0;
  try {
    for (let round = 0; round < count; round++) {
      const data = mutated(whole, random);
      const path = join(directory, 'damaged.zip');
      writeFileSync(path, data);
      try {
        const archive = await openArchive({ path, bytes: data.length }, PACKAGE_LIMITS, { sender: 'test' });
        for (const entry of archive.entries) assert.doesNotMatch(entry.path, /^\/|(^|\/)\.\.(\/|$)|\\|\0/);
        archive.close();
      } catch (error) {
        assert.ok(error instanceof ArchiveRefusedError, `seed ${seed}, round ${round}: ${error}`);
        refused++;
      }
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
  return refused;
}

/**
 * Damages a manifest `count` times in other ways, by `seed`: each is read, answered with its problems, or refused, and fails where it is
 * anything else. Gives how many were read.
 */
export async function readDamagedManifests(seed: number, count: number): Promise<number> {
  const random = numbers(seed);
  const whole = Buffer.from(`version: 1
x-common: &common
  memory: 64M
  disk_quota: 1G
applications:
- name: one
  <<: *common
  instances: 2
  routes:
  - route: one.example.org/path
    protocol: http2
  env: {A: '1', B: two}
  services: [db]
  buildpacks: [nodejs_buildpack]
  processes:
  - type: worker
    command: node worker.js
    health-check-type: process
  sidecars:
  - name: helper
    process_types: [web, worker]
    command: ./helper
    memory: 16M
  metadata: {labels: {team: blue}, annotations: {note: text}}
`);
  let read = 0;
  for (let round = 0; round < count; round++) {
    const text = mutated(whole, random).toString();
    const began = performance.now();
    try {
      const { problems } = readManifest(await readBoundedYaml(text), { http2Apps: true });
      assert.ok(problems.every((problem) => typeof problem === 'string' && problem !== ''));
      read++;
    } catch (error) {
      assert.ok(error instanceof YamlRefusedError, `seed ${seed}, round ${round}: ${error}\n${text}`);
    }
    assert.ok(performance.now() - began < 5000, `seed ${seed}, round ${round} took too long`);
  }
  return read;
}
