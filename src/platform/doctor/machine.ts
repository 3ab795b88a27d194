import { lookup } from 'node:dns/promises';
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { run } from '../../kit/process.ts';
import { resolverLine } from '../host/names.ts';
import { nameserversOf } from '../host/resolv-conf.ts';
import type { PlatformSettings } from '../settings/schema.ts';
import { type Finding, findingsOf } from './finding.ts';

const MINUTE_MS = 60_000;

/** Whether time can be believed: certificates and tokens hang on it. `builtAt` is a time that certainly lies in the past. */
export async function clockFindings(builtAt: number, now = Date.now()): Promise<Finding[]> {
  const { ok, warn, fail } = findingsOf('clock');
  const plausible =
    now >= builtAt
      ? ok('time', new Date(now).toISOString())
      : fail('time', new Date(now).toISOString(), `it lies before ${new Date(builtAt).toISOString()}: set the clock`);
  const drift = await wallAgainstMonotonic();
  return [
    plausible,
    Math.abs(drift) < 50
      ? ok('steadiness', `${drift.toFixed(1)} ms in 300 ms`)
      : warn(
          'steadiness',
          `stepped ${drift.toFixed(0)} ms in 300 ms`,
          'something sets the clock in steps: let NTP slew it',
        ),
    await synchronisation(),
    zone(),
  ];

  async function synchronisation(): Promise<Finding> {
    const answer = await run('timedatectl', ['show', '--property=NTPSynchronized', '--value']).catch(() => '');
    if (answer.trim() === 'yes') return ok('synchronised', 'yes, by systemd');
    const chrony = await run('chronyc', ['-c', 'tracking']).catch(() => '');
    const offset = Number(chrony.split(',')[4] ?? Number.NaN);
    if (Number.isFinite(offset)) {
      return Math.abs(offset) * 1000 < MINUTE_MS
        ? ok('synchronised', `yes, by chrony (${(offset * 1000).toFixed(1)} ms off)`)
        : fail('synchronised', `${offset} s off`, 'certificates would be refused: chronyc makestep');
    }
    if (answer.trim() === 'no') return warn('synchronised', 'no', 'timedatectl set-ntp true');
    return warn('synchronised', 'unknown: no systemd-timesyncd and no chrony answers', 'see that something keeps time');
  }

  function zone(): Finding {
    const name = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (existsSync('/usr/share/zoneinfo') || name === 'UTC') return ok('time zone', `${name}; the platform keeps UTC`);
    return warn('time zone', `${name}, without zone data`, 'install tzdata; the platform itself keeps UTC');
  }
}

/** How far the wall clock moved against the monotonic one in 300 ms (milliseconds). */
async function wallAgainstMonotonic(): Promise<number> {
  const [wall, steady] = [Date.now(), performance.now()];
  await new Promise((resolve) => setTimeout(resolve, 300));
  return Date.now() - wall - (performance.now() - steady);
}

/** Room and speed of the disk that the data directory is, or will be, on. */
export function diskFindings(dataDirectory: string): Finding[] {
  const { ok, warn, fail } = findingsOf('disk');
  const place = nearest(dataDirectory);
  const { bavail, bsize, files, ffree } = statfsSync(place);
  const free = (bavail * bsize) / 2 ** 30;
  const found = `${free.toFixed(1)} GiB free at ${place}`;
  const advice = 'stack, buildpacks, droplets and container disks lie there: free some, or use --data on another disk';
  const milliseconds = fsyncTime(place);
  const speed = `${milliseconds.toFixed(1)} ms for a durable write (median of 10)`;
  return [
    free >= 10 ? ok('room', found) : free >= 3 ? warn('room', found, advice) : fail('room', found, advice),
    files === 0 || ffree / files > 0.05
      ? ok('inodes', files === 0 ? 'without bound' : `${ffree} free`)
      : warn('inodes', `${ffree} of ${files} free`, 'staging makes many small files: free some'),
    milliseconds < 20 ? ok('speed', speed) : warn('speed', speed, 'each API write waits for that: use a faster disk'),
  ];
}

function nearest(path: string): string {
  return existsSync(path) ? path : nearest(dirname(path));
}

function fsyncTime(place: string): number {
  let directory: string;
  try {
    directory = mkdtempSync(join(place, '.cupola-doctor-'));
  } catch {
    directory = mkdtempSync(join(tmpdir(), 'cupola-doctor-')); // the data directory is root's
  }
  try {
    const file = openSync(join(directory, 'probe'), 'w', 0o600);
    const times = Array.from({ length: 10 }, () => {
      const began = performance.now();
      writeSync(file, Buffer.alloc(8192));
      fsyncSync(file);
      return performance.now() - began;
    });
    closeSync(file);
    return times.sort((a, b) => a - b)[5]!;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Whether names lead where they should. */
export async function nameFindings(
  settings: PlatformSettings | null,
  { running, hidden }: { running: boolean; hidden: boolean },
): Promise<Finding[]> {
  const { ok, warn } = findingsOf('names');
  const text = existsSync('/etc/resolv.conf') ? readFileSync('/etc/resolv.conf', 'utf8') : '';
  const servers = nameserversOf(text);
  const resolver =
    servers.length > 0
      ? ok('name servers', servers.join(', '))
      : warn('name servers', 'none in /etc/resolv.conf', 'apps will resolve no names of the outside');
  // Which names lead here is known to whom the settings are shown.
  if (hidden) return [resolver];
  const host = settings ? `api.${settings.domain}` : 'api.cupola.localhost';
  const address = await lookup(host, { family: 4 }).catch(() => null);
  if (!settings || !running) {
    const now = address ? `leads to ${address.address}` : 'leads nowhere yet';
    return [resolver, ok(host, `${now}; ./cupola up makes it known to this machine`)];
  }
  return [resolver, domainFinding(settings, host, { address: address?.address ?? null, text })];
}

/** Where this machine finds a name of a platform that runs. `text`: its resolv.conf(5). */
export function domainFinding(
  settings: PlatformSettings,
  host: string,
  { address, text }: { address: string | null; text: string },
): Finding {
  const { ok, fail } = findingsOf('names');
  const { resolverAddress: own } = settings;
  const wanted = settings.bindAddress === '0.0.0.0' ? '127.0.0.1' : settings.bindAddress;
  if (address === wanted) return ok(host, `leads to ${wanted}`);
  const found = `leads ${address === null ? 'nowhere' : `to ${address}`}, not to ${wanted}`;
  switch (resolverLine(settings, text)) {
    case 'missing':
      return fail(host, `${found}; ${own} is missing in /etc/resolv.conf`, `./cupola up puts ${own} there`);
    case 'unneeded':
      return fail(host, found, 'systemd-resolved is to answer it: resolvectl query says what it does');
    case 'there': {
      const before = nameserversOf(text);
      before.splice(before.indexOf(own));
      return before.length > 0
        ? fail(host, `${found}; ${before.join(', ')} is asked before ${own}`, `nslookup ${host} ${before[0]} says why`)
        : fail(host, `${found}, though ${own} is asked first`, `nslookup ${host} ${own} says whether it answers`);
    }
  }
}
