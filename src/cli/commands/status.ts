import { CupolaError } from '../../kit/errors.ts';
import { layoutOf } from '../../platform/settings.ts';
import { askSupervisor, type PlatformStatus } from '../../platform/supervisor-client.ts';
import { type Command, DATA_OPTION, installation, parse, say } from '../options.ts';
import { table } from '../table.ts';

export const status: Command = {
  usage: 'status [--json]',
  summary: 'show processes, cells and certificates',
  async run(args) {
    const { values } = parse(args, { ...DATA_OPTION, json: { type: 'boolean' } });
    const layout = layoutOf(installation(values.data));
    try {
      const answer = await askSupervisor<PlatformStatus>(layout, 'GET /status');
      say(values.json ? JSON.stringify(answer) : describe(answer));
      return answer.ready ? 0 : 1;
    } catch (error) {
      if (!(error instanceof CupolaError) || error.code !== 'not_running') throw error;
      say(values.json ? JSON.stringify({ ready: false, running: false }) : 'down; ./cupola up starts the platform');
      return 1;
    }
  },
};

function describe(answer: PlatformStatus): string {
  const components = answer.components.map(({ name, state, pid, account, restarts }) => [
    name,
    state,
    pid === null ? '-' : String(pid),
    account,
    restarts === 1 ? '1 restart' : `${restarts} restarts`,
  ]);
  const cells = answer.cells.map(({ id, lastSeen }) => [id, lastSeen === null ? 'never seen' : `seen ${lastSeen}`]);
  const certificates = answer.certificates.map(({ name, notAfter }) => [name, `until ${notAfter}`]);
  return [
    `${answer.ready ? 'ready' : 'not ready'}  ${answer.api}`,
    ...section('Components', components),
    ...section('Cells', cells),
    ...section('Certificates', certificates),
    ...notes(answer),
  ].join('\n');
}

/** What is under way. */
function notes({ update, rotation }: PlatformStatus): string[] {
  const lines: string[] = [];
  if (update.outdated.length > 0) lines.push(`still to be updated: ${update.outdated.join(', ')}`);
  if (update.problem !== null) lines.push(`the update stopped: ${update.problem}`);
  if (rotation?.phase === 'announced') lines.push('new roots are being announced');
  else if (rotation) lines.push(`the former roots are trusted until ${rotation.until}`);
  return lines.length === 0 ? [] : ['', ...lines];
}

function section(title: string, rows: readonly (readonly string[])[]): string[] {
  if (rows.length === 0) return [];
  return ['', title, ...table(rows).map((line) => `  ${line}`)];
}
