import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isAlive, processesWith, signal, terminate } from '../../kit/process.ts';
import { together } from '../../kit/together.ts';
import { unmountBelow } from './mounts.ts';
import { type ContainerParts, cgroupParent, cgroupPath, runtimeId } from './parts.ts';
import { ContainerRecord, readJson } from './records.ts';

const KILL_WAIT_MS = 5000;

/**
 * Removes a container by the name of its directory, however much of it is there. `whenKilled` runs when its processes
 * are dead and before their files go.
 */
export async function removeContainer(
  parts: ContainerParts,
  name: string,
  whenKilled: () => Promise<void> | undefined = async () => {},
): Promise<void> {
  const files = parts.paths.container(name);
  const record = await readJson(files.record, ContainerRecord);
  if (!record?.init) await stopCreation(parts, name);
  const killed = await kill(record);
  await whenKilled();
  const number = Number(name);
  await together([
    removeFromRuntime(parts, name, killed),
    Number.isInteger(number) && number > 0 ? parts.network.remove(number) : null,
  ]);
  await parts.cgroups.end(cgroupPath(parts.prefix, name));
  await unmountBelow(files.gate);
  await unmountBelow(files.directory);
  await rm(files.gate, { recursive: true, force: true });
  await rm(files.directory, { recursive: true, force: true });
}

/** Removes what has the garden's name and belongs to none of the `known` containers. */
export async function removeOrphans(parts: ContainerParts, known: ReadonlySet<string>): Promise<void> {
  const start = `${parts.prefix}-`;
  const found = new Set([
    ...(await readdir(parts.paths.runcState).catch(() => []))
      .filter((id) => id.startsWith(start))
      .map((id) => id.slice(start.length)),
    ...(await readdir(parts.paths.rootfs).catch(() => [])),
    ...(await parts.cgroups.children(`/${cgroupParent(parts.prefix)}`)),
  ]);
  for (const name of found) if (!known.has(name)) await removeContainer(parts, name);
  for (const name of await readdir(parts.paths.scratch).catch(() => [])) {
    const directory = join(parts.paths.scratch, name);
    await unmountBelow(directory);
    await rm(directory, { recursive: true, force: true });
  }
}

/** Kills the first process, and with it all of its namespace. True when it is dead. */
async function kill(record: ContainerRecord | null): Promise<boolean> {
  const init = record?.init;
  if (!init) return false;
  signal(init, 'SIGKILL');
  const deadline = Date.now() + KILL_WAIT_MS;
  while (isAlive(init)) {
    if (Date.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  return true;
}

/** The cell may have been killed while runc still made the container. */
async function stopCreation(parts: ContainerParts, name: string): Promise<void> {
  if (!existsSync(parts.paths.container(name).init)) return;
  const making = () => processesWith(0, runtimeId(parts.prefix, name));
  // One more look: who was just starting runc had not started it yet.
  for (let found = making(); found.length > 0; found = making()) {
    await Promise.all(found.map((one) => terminate(one, KILL_WAIT_MS, 'SIGKILL')));
  }
}

async function removeFromRuntime(parts: ContainerParts, name: string, killed: boolean): Promise<void> {
  const id = runtimeId(parts.prefix, name);
  if (!existsSync(join(parts.paths.runcState, id))) return;
  try {
    await parts.runtime.delete(id, !killed);
  } catch {
    // A zombie that conmon has not yet reaped counts as running.
    await parts.runtime.delete(id, true);
  }
}
