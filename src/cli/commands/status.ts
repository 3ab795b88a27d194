import { CupolaError } from '../../kit/errors.ts';
import type { PlatformStatus } from '../../platform/admin-messages.ts';
import { layoutOf } from '../../platform/layout.ts';
import { commandFor } from '../../platform/settings/data-option.ts';
import { askSupervisor } from '../../platform/supervisor-client.ts';
import { coloured } from '../colour.ts';
import { command, JSON_FLAG } from '../command.ts';
import { installation, say } from '../options.ts';
import { table } from '../table.ts';

export const status = command({
  flags: JSON_FLAG,
  about: ['The exit code is 0 where the platform is ready, else 1.'],
  async run({ values }) {
    const settings = installation(values.data);
    const layout = layoutOf(settings);
    try {
      const answer = await askSupervisor(layout, 'GET /status');
      say(values.json ? JSON.stringify(answer) : describe(answer));
      return answer.ready ? 0 : 1;
    } catch (error) {
      if (!(error instanceof CupolaError) || error.code !== 'not_running') throw error;
      const down = `down; ${commandFor('up', settings)} starts the platform`;
      say(values.json ? JSON.stringify({ ready: false, running: false }) : down);
      return 1;
    }
  },
});

function describe(answer: PlatformStatus): string {
  const components = answer.components.map(({ name, state, pid, account, restarts, faults = 0 }) => [
    name,
    state,
    pid === null ? '-' : String(pid),
    account,
    restarts === 1 ? '1 restart' : `${restarts} restarts`,
    faults === 0 ? '' : faults === 1 ? '1 uncaught error' : `${faults} uncaught errors`,
  ]);
  const cells = answer.cells.map(({ id, lastSeen }) => [id, lastSeen === null ? 'never seen' : `seen ${lastSeen}`]);
  const certificates = answer.certificates.map(({ name, notAfter }) => [name, `until ${notAfter}`]);
  return [
    `${answer.ready ? coloured('green', 'ready') : coloured('red', 'not ready')}  ${answer.api}`,
    ...section('Components', components),
    ...section('Cells', cells),
    ...section('Certificates', certificates),
    ...notes(answer),
  ].join('\n');
}

/** What is under way. */
function notes({ leaving = false, update, database, rotation, notRouted, servedAsHttp1 }: PlatformStatus): string[] {
  const lines = [
    ...(leaving ? ['it ends'] : []),
    ...some('not routed', notRouted),
    ...some('served as http1, HTTP/2 to apps is off', servedAsHttp1),
  ];
  if (database?.remains.length)
    lines.push(`data of PostgreSQL ${database.remains.join(', ')} remain: ./cupola engines clean deletes them`);
  if (update.outdated.length > 0) lines.push(`still to be updated: ${update.outdated.join(', ')}`);
  if (update.problem !== null) lines.push(`the update stopped: ${update.problem}`);
  if (rotation?.phase === 'announced') lines.push('new roots are being announced');
  else if (rotation?.phase === 'retired') lines.push('components are told that the former roots are gone');
  else if (rotation) lines.push(`the former roots are trusted until ${rotation.until}`);
  return lines.length === 0 ? [] : ['', ...lines];
}

function some(what: string, texts: readonly string[] | null = []): string[] {
  const all = texts ?? [];
  const lines = all.slice(0, 20).map((text) => `${what}: ${text}`);
  return all.length > 20 ? [...lines, `${what}: ${all.length - 20} more`] : lines;
}

function section(title: string, rows: readonly (readonly string[])[]): string[] {
  if (rows.length === 0) return [];
  return ['', title, ...table(rows).map((line) => `  ${line}`)];
}
