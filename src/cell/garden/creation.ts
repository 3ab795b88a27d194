import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CupolaError } from '../../kit/errors.ts';
import { together } from '../../kit/together.ts';
import { RunningContainer } from './container.ts';
import type { BindMount, ContainerSpec } from './garden.ts';
import type { LayerCache } from './layers.ts';
import { runtimeSpec } from './oci-spec.ts';
import { type ContainerParts, cgroupPath, runtimeId } from './parts.ts';
import { type ContainerRecord, saveRecord } from './records.ts';
import { makeGate, mountRootFilesystem } from './rootfs.ts';
import type { SeccompProfile } from './seccomp.ts';
import { UID_RANGE } from './settings.ts';
import type { Spares } from './spares.ts';
import { createVolume } from './volume.ts';

export interface CreationParts {
  parts: ContainerParts;
  seccomp: SeccompProfile;
  layers: LayerCache;
  spares: Spares;
}

/**
 * Makes a container in the order that keeps it safe: its record, its file system, its namespaces and its packet
 * filter, its link. When it throws nothing is under way any more, and what was made can be removed by the record's number.
 */
export async function makeContainer(
  creation: CreationParts,
  record: ContainerRecord,
  { binds, workingDirectory }: Pick<ContainerSpec, 'binds' | 'workingDirectory'>,
): Promise<RunningContainer> {
  const { paths, network, runtime, prefix, cgroups, uidRangeBase } = creation.parts;
  const { number } = record;
  const files = paths.container(number);
  const uidBase = uidRangeBase + number * UID_RANGE;
  const id = runtimeId(prefix, number);
  await mkdir(files.directory, { mode: 0o700 });
  await saveRecord(paths, record);
  await together([
    makeFilesystem(creation, record, uidBase),
    writeEtc(files.etc, {
      name: record.handle.slice(0, 63),
      address: network.addresses.address(number),
      gateway: network.gateway,
    }),
  ]);
  const config = runtimeSpec({
    handle: record.handle,
    rootfs: files.rootfs,
    uidBase,
    limits: record.limits,
    limitsSwap: cgroups.limitsSwap,
    binds: [...etcBinds(files.etc), ...binds],
    ...(workingDirectory === undefined ? {} : { workingDirectory }),
    cgroupPath: cgroupPath(prefix, number),
    seccomp: creation.seccomp,
  });
  await writeFile(files.runtimeSpec, JSON.stringify(config), { mode: 0o600 });
  // The first process runs nothing of the app, and has no link yet.
  const [init] = await together([
    runtime.start(id, files.directory, files.init),
    network.admit({ number, rules: record.egressRules }),
  ]);
  if (!init) throw new CupolaError('container_runtime_failed', 'the first process of the container ended at once');
  record.init = init;
  await network.connect(number, init);
  record.state = 'ready';
  await saveRecord(paths, record);
  return new RunningContainer(creation.parts, record);
}

async function makeFilesystem(creation: CreationParts, record: ContainerRecord, uidBase: number): Promise<void> {
  const { paths, uidRangeBase } = creation.parts;
  const files = paths.container(record.number);
  const layers = record.layers.map((key) => creation.layers.path(key));
  using maps = new DisposableStack();
  const idMap = async (onDisk: number) => maps.use(await creation.spares.idMap(onDisk, uidBase)).descriptor;
  const [stackMap, layerMap] = await together([
    record.stack === null ? -1 : idMap(0),
    layers.length > 0 ? idMap(uidRangeBase) : -1,
    createVolume(files.image, files.volume, () => creation.spares.image(files.image, record.limits.diskBytes)),
    makeGate(files, uidBase),
  ]);
  await mountRootFilesystem({
    lowers: [
      ...(record.stack === null ? [] : [{ path: paths.stack(record.stack), userNamespace: stackMap }]),
      ...layers.map((path) => ({ path, userNamespace: layerMap })),
    ],
    volume: files.volume,
    mountPoint: files.rootfs,
    owner: uidBase,
    scratchDirectory: paths.scratch,
  });
}

async function writeEtc(
  directory: string,
  { name, address, gateway }: { name: string; address: string; gateway: string },
): Promise<void> {
  await mkdir(directory, { mode: 0o755 });
  await together([
    writeFile(join(directory, 'hosts'), `127.0.0.1 localhost\n${address} ${name}\n`, { mode: 0o644 }),
    writeFile(join(directory, 'hostname'), `${name}\n`, { mode: 0o644 }),
    writeFile(join(directory, 'resolv.conf'), `nameserver ${gateway}\n`, { mode: 0o644 }),
  ]);
}

function etcBinds(directory: string): BindMount[] {
  return ['hosts', 'hostname', 'resolv.conf'].map((name) => ({
    source: join(directory, name),
    destination: `/etc/${name}`,
  }));
}
