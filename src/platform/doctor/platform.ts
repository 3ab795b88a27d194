import { existsSync, statSync } from 'node:fs';
import type { PlatformStatus } from '../admin-messages.ts';
import type { PlatformSettings } from '../settings/schema.ts';
import { type Finding, findingsOf } from './finding.ts';

const { ok, warn, fail } = findingsOf('platform');
const DAY_MS = 86_400_000;

/** Health of what is installed; `status` is null where it does not run, or tells nothing: `silence` says so then. */
export function platformFindings(
  settings: PlatformSettings | null,
  status: PlatformStatus | null,
  { silence = null, now = Date.now() }: { silence?: Finding | null; now?: number } = {},
): Finding[] {
  if (!settings) return [ok('installation', 'none yet; ./cupola up makes one')];
  const files = [keyFile(settings), directory(settings)];
  if (!status) return [silence ?? warn('installation', 'it does not run', './cupola up starts it'), ...files];
  const stopped = status.components.filter(({ state }) => state !== 'running').map(({ name }) => name);
  const restarted = status.components.filter(({ restarts }) => restarts > 0);
  const faulty = status.components.filter(({ faults = 0 }) => faults > 0);
  const unseen = status.cells.filter(({ lastSeen }) => lastSeen === null || now - Date.parse(lastSeen) > 30_000);
  return [
    status.ready
      ? ok('installation', `ready at ${status.api}`)
      : fail('installation', 'not ready', './cupola status and ./cupola logs say more'),
    ...(stopped.length > 0
      ? [fail('components', `not running: ${stopped.join(', ')}`, `./cupola logs ${stopped[0]}`)]
      : []),
    ...(restarted.length > 0
      ? [
          warn(
            'restarts',
            restarted.map(({ name, restarts }) => `${name} ${restarts}`).join(', '),
            `./cupola logs ${restarted[0]!.name} may say why`,
          ),
        ]
      : []),
    ...(faulty.length > 0
      ? [
          warn(
            'uncaught errors',
            faulty.map(({ name, faults }) => `${name} ${faults}`).join(', '),
            `./cupola logs ${faulty[0]!.name} has each with its stack; please report it`,
          ),
        ]
      : []),
    ...(unseen.length > 0
      ? [fail('cells', `not heard of: ${unseen.map(({ id }) => id).join(', ')}`, `./cupola logs ${unseen[0]!.id}`)]
      : []),
    ...(status.notRouted?.length
      ? [warn('routes', `${status.notRouted.length} not served: ${status.notRouted[0]}`, './cupola status names them')]
      : []),
    ...(status.servedAsHttp1?.length
      ? [
          warn(
            'HTTP/2 to apps',
            `off; ${status.servedAsHttp1.length} routes ask for it: ${status.servedAsHttp1[0]}`,
            './cupola status names them; docs/operator.md says what switching it on means',
          ),
        ]
      : []),
    ...formerData(status),
    ...(status.update.problem !== null ? [fail('update', status.update.problem, './cupola upgrade tries again')] : []),
    ...files,
    ...certificates(status, now),
  ];
}

function formerData({ database }: PlatformStatus): Finding[] {
  if (!database) return [];
  const { version, remains } = database;
  if (remains.length === 0) return [ok('database', `PostgreSQL ${version}`)];
  const found = `PostgreSQL ${version}; data of ${remains.join(', ')} remain`;
  return [warn('database', found, './cupola engines clean deletes them; so does the next upgrade')];
}

/** Components renew themselves when a third of their time is left, instances four hours before the end: less means they could not. */
function certificates({ certificates: all }: PlatformStatus, now: number): Finding[] {
  const findings = all.flatMap(({ name, notAfter }): Finding[] => {
    const left = Date.parse(notAfter) - now;
    const instance = name.includes('instance') && name.includes('(');
    const what = `certificate ${name}`;
    if (left <= 0) return [fail(what, `ended ${notAfter}`, './cupola rotate all')];
    if (left < (instance ? DAY_MS / 12 : 14 * DAY_MS) && !name.startsWith('former-')) {
      return [warn(what, `ends ${notAfter}`, './cupola rotate all; ./cupola logs supervisor says what kept it')];
    }
    return [];
  });
  if (findings.length > 0) return findings;
  const first = all.toSorted((a, b) => a.notAfter.localeCompare(b.notAfter))[0];
  return [ok('certificates', first ? `${all.length}; the first, ${first.name}, ends ${first.notAfter}` : 'none')];
}

function keyFile({ keyFile: path, dataDirectory }: PlatformSettings): Finding {
  if (!existsSync(path)) return fail('key file', `missing at ${path}`, 'put it back: without it nothing can be opened');
  if ((statSync(path).mode & 0o077) !== 0) return fail('key file', 'others may read it', `chmod 0400 ${path}`);
  if (path.startsWith(`${dataDirectory}/`)) {
    const advice =
      'whoever copies the data directory has both; ./cupola up --key-file FILE at the first start keeps them apart';
    return warn('key file', 'lies beside the data', advice);
  }
  return ok('key file', path);
}

function directory({ dataDirectory }: PlatformSettings): Finding {
  return (statSync(dataDirectory).mode & 0o077) === 0
    ? ok('data directory', `${dataDirectory}, root's alone`)
    : fail('data directory', 'others may enter it', `chmod 0700 ${dataDirectory}`);
}
