import {
  lstatSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { PlatformSettings } from '../settings/schema.ts';
import { changing } from './changing.ts';
import { lockInstallations } from './installations.ts';
import {
  addNameserver,
  installationsIn,
  type NameServer,
  nameserversOf,
  removeNameserver,
  withoutInstallations,
  withoutRotate,
} from './resolv-conf.ts';

const RESOLV_CONF = '/etc/resolv.conf';
/** Ends the name of what is about to take the file's place. */
const PART = '-part';
/** Ends the name of a link that is kept beside its text. */
const LINK = '-link';
/** systemd-resolved answers here, and answers every name under .localhost with the loopback address itself. */
const RESOLVED_STUB = '127.0.0.53';

/** The file, which all installations of the machine change, and the lock under which they do. */
export interface ResolverPlaces {
  resolvConf: string;
  lock(): Promise<Disposable>;
}

const PLACES: ResolverPlaces = { resolvConf: RESOLV_CONF, lock: lockInstallations };

/** The machine's own name servers, as they are now: behind the link that was there, if any, until somebody changed the file since. */
export function upstreamNameservers(settings: PlatformSettings, resolvConf = RESOLV_CONF): string[] {
  const present = readText(resolvConf);
  const own = machinesPart(present, settings);
  const kept = keptBy(installationsIn(present), resolvConf);
  if (kept === null || kept.link === null || own !== withoutRotate(kept.text)) return nameserversOf(own);
  const servers = nameserversOf(machinesPart(readText(resolve(dirname(resolvConf), kept.link)), settings));
  return servers.length > 0 ? servers : nameserversOf(own);
}

/** Whether the machine asks the platform's name server: `unneeded` where systemd-resolved answers the domain's names as they should be. */
export type ResolverLine = 'there' | 'missing' | 'unneeded';

/** What resolv.conf(5) says of this installation. */
export function resolverLine(settings: PlatformSettings, text: string): ResolverLine {
  const servers = nameserversOf(text);
  if (servers.includes(settings.resolverAddress)) return 'there';
  const resolved = servers.length === 1 && servers[0] === RESOLVED_STUB;
  const unneeded = resolved && settings.domain.endsWith('.localhost') && settings.bindAddress === '127.0.0.1';
  return unneeded ? 'unneeded' : 'missing';
}

/**
 * Makes the machine ask the platform's name server first. The file that was there before any installation, and the link if it was one,
 * are kept beside it. Does nothing where it is done or unneeded. Throws `locked`, and `not_writable` where it may not be changed; its
 * caller holds no lock of `lockInstallations`.
 */
export async function installResolver(settings: PlatformSettings, { resolvConf, lock } = PLACES): Promise<void> {
  using _ = await lock();
  changing(resolvConf, () => addLine(settings, resolvConf));
}

function addLine(settings: PlatformSettings, resolvConf: string): void {
  const present = readText(resolvConf);
  const line = resolverLine(settings, present);
  if (line === 'unneeded') return;
  // Where our line is gone, someone wrote the file anew (DHCP): that is now what to put back.
  if (line === 'missing' || !keptBy([settings.id], resolvConf)) keep(settings, present, resolvConf);
  const text = addNameserver(present, nameServerOf(settings));
  if (text !== present) replace(resolvConf, text, modeOf(resolvConf), partOf(settings.id, resolvConf));
}

/** For a platform that runs: puts its line back where it is missing, else does nothing. True where it was missing. Throws as `installResolver`. */
export async function restoreResolver(settings: PlatformSettings, places = PLACES): Promise<boolean> {
  if (resolverLine(settings, readText(places.resolvConf)) !== 'missing') return false;
  await installResolver(settings, places);
  return true;
}

/**
 * Takes our line out. Where it was the last of an installation's, the name servers are put back: the very file or link from before,
 * unless someone else changed it since. Throws as `installResolver`.
 */
export async function removeResolver(settings: PlatformSettings, { resolvConf, lock } = PLACES): Promise<void> {
  using _ = await lock();
  changing(resolvConf, () => removeLine(settings, resolvConf));
}

function removeLine(settings: PlatformSettings, resolvConf: string): void {
  const part = partOf(settings.id, resolvConf);
  const present = readText(resolvConf);
  const rest = removeNameserver(present, nameServerOf(settings));
  const kept = keptBy([settings.id], resolvConf);
  const before = kept && machinesPart(kept.text, settings);
  if (rest !== present) {
    if (kept === null || before === null || rest !== withoutRotate(before))
      replace(resolvConf, rest, modeOf(resolvConf), part);
    else if (kept.link !== null) replaceByLink(resolvConf, kept.link, before, part);
    else replace(resolvConf, before, modeOf(copyOf(settings.id, resolvConf)), part);
  }
  forget(settings.id, resolvConf);
}

/** What was there before the first installation. */
interface Kept {
  /** The file's, or that of what the link led to. */
  text: string;
  /** Where it led; null where it was none. */
  link: string | null;
}

/** Where others' lines are there, what one of them keeps: the file is none of the machine's then. */
function keep(settings: PlatformSettings, present: string, resolvConf: string): void {
  const others = installationsIn(present).filter((id) => id !== settings.id);
  const { text, link } = keptBy(others, resolvConf) ?? {
    text: machinesPart(present, settings),
    link: isLink(resolvConf) ? readlinkSync(resolvConf) : null,
  };
  forget(settings.id, resolvConf);
  if (link !== null) symlinkSync(link, linkOf(settings.id, resolvConf));
  replace(copyOf(settings.id, resolvConf), text, modeOf(resolvConf), partOf(settings.id, resolvConf));
}

/**
 * What the first of these keeps, of installations whose lines are there: all the same. Null where they keep nothing. Earlier versions
 * kept the link itself, and others' lines in the text.
 */
function keptBy(ids: readonly string[], resolvConf: string): Kept | null {
  const copy = ids.map((id) => copyOf(id, resolvConf)).find(isThere);
  if (copy === undefined) return null;
  const link = [copy, `${copy}${LINK}`].find(isLink);
  return { text: withoutInstallations(readText(copy)), link: link === undefined ? null : readlinkSync(link) };
}

function forget(id: string, resolvConf: string): void {
  for (const path of [copyOf(id, resolvConf), linkOf(id, resolvConf), partOf(id, resolvConf)])
    rmSync(path, { force: true });
}

/** The machine's own part of a text. */
function machinesPart(text: string, settings: PlatformSettings): string {
  return withoutInstallations(removeNameserver(text, nameServerOf(settings)));
}

function nameServerOf({ id, resolverAddress }: PlatformSettings): NameServer {
  return { id, address: resolverAddress };
}

function copyOf(id: string, resolvConf: string): string {
  return `${resolvConf}.cupola-${id}`;
}

function linkOf(id: string, resolvConf: string): string {
  return `${copyOf(id, resolvConf)}${LINK}`;
}

/** An installation's own: one of an earlier version may be at work without the lock. */
function partOf(id: string, resolvConf: string): string {
  return `${copyOf(id, resolvConf)}${PART}`;
}

/** Whole or not at all, by way of `part`; in place only where the file is a mount point, as in a container. */
function replace(path: string, text: string, mode: number, part: string): void {
  rmSync(part, { force: true });
  writeFileSync(part, text, { mode });
  try {
    renameSync(part, path);
  } catch {
    rmSync(part, { force: true });
    writeFileSync(path, text);
  }
}

/** The text, where a mount point can be no link. */
function replaceByLink(path: string, target: string, text: string, part: string): void {
  rmSync(part, { force: true });
  symlinkSync(target, part);
  try {
    renameSync(part, path);
  } catch {
    rmSync(part, { force: true });
    writeFileSync(path, text);
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // missing, or a link to nothing
  }
}

function modeOf(path: string): number {
  try {
    return statSync(path).mode & 0o777;
  } catch {
    return 0o644;
  }
}

function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function isLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
}
