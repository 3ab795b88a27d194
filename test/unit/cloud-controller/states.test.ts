import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BuildRow, buildOf } from '../../../src/cloud-controller/builds/store.ts';
import { type DropletRow, dropletOf } from '../../../src/cloud-controller/droplets/store.ts';
import { guid } from '../../../src/cloud-controller/guid.ts';
import { type PackageRow, packageOf } from '../../../src/cloud-controller/packages/store.ts';

const at = new Date(0);
const common = {
  ...{ id: 1, created_at: at, updated_at: at, labels: {}, annotations: {} },
  app_guid: guid<'app'>('app'),
};
const bits = { docker_image: null, docker_username: null, sha256: 'abc' };
const image = { docker_image: 'registry.example/app', docker_username: 'me', sha256: null };
const packageRow: Omit<PackageRow, keyof typeof bits> = {
  ...{ ...common, guid: guid<'package'>('one'), state: 'READY', error: null },
};
const dropletRow: Omit<DropletRow, keyof typeof bits> = {
  ...{ ...common, guid: guid<'droplet'>('one'), state: 'STAGED', error: null, package_guid: null },
  ...{ buildpacks: [], stack: null },
};
const buildRow: BuildRow = {
  ...{ ...common, guid: guid<'build'>('one'), state: 'STAGING', error: null, desired_at: null },
  ...{ package_guid: guid<'package'>('bits'), droplet_guid: guid<'droplet'>('later') },
  ...{ lifecycle: 'buildpack', buildpacks: [], stack: 'debian12', staging_memory_mb: 1, staging_disk_mb: 1 },
  ...{ created_by_guid: 'me', created_by_name: 'me' },
};

test('a package is of bits or of an image, and has nothing of the other', () => {
  assert.deepEqual(packageOf({ ...packageRow, ...bits }), { ...packageRow, type: 'bits', sha256: 'abc' });
  const { error: _none, ...left } = packageRow;
  const made = { ...left, type: 'docker', image: 'registry.example/app', username: 'me' };
  assert.deepEqual(packageOf({ ...packageRow, ...image }), made);
});

test('a droplet is of bits or of an image, and has nothing of the other', () => {
  assert.deepEqual(dropletOf({ ...dropletRow, ...bits }), { ...dropletRow, type: 'bits', sha256: 'abc' });
  const { buildpacks: _none, stack: _its, ...left } = dropletRow;
  const made = { ...left, type: 'docker', image: 'registry.example/app', username: 'me' };
  assert.deepEqual(dropletOf({ ...dropletRow, ...image }), made);
});

test('a build has a droplet once it is staged, and an error once it failed', () => {
  const has = (row: BuildRow) => Object.keys(buildOf(row)).filter((key) => key === 'droplet_guid' || key === 'error');
  assert.deepEqual(has(buildRow), []);
  assert.deepEqual(has({ ...buildRow, state: 'STAGED' }), ['droplet_guid']);
  assert.deepEqual(has({ ...buildRow, state: 'FAILED', error: 'StagingError' }), ['error']);
});
