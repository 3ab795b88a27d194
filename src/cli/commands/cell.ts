import { setTimeout as pause } from 'node:timers/promises';
import { CupolaError } from '../../kit/errors.ts';
import type { CellStatus } from '../../platform/admin-messages.ts';
import { type Layout, layoutOf } from '../../platform/layout.ts';
import { askSupervisor } from '../../platform/supervisor-client.ts';
import { command, JSON_FLAG, UsageError } from '../command.ts';
import { installation, say } from '../options.ts';
import { table } from '../table.ts';

const LOOK_MS = 500;

export const cell = command({
  flags: { ...JSON_FLAG, 'no-wait': { type: 'boolean', help: 'drain: do not wait until the cell is empty' } },
  about: ['A drain starts the apps of a cell on the others first, and then stops them there; no request fails.'],
  examples: ['./cupola cell list', './cupola cell drain cell-1', './cupola cell resume cell-1'],
  async run({ values, positionals }) {
    const { action, id } = wanted(positionals);
    const layout = layoutOf(installation(values.data));
    if (action === 'list') return list(layout, values.json === true);
    await askSupervisor(layout, 'POST /drain', { cellId: id, draining: action === 'drain' });
    const waits = action === 'drain' && !values['no-wait'];
    if (waits) await untilDrained(layout, id, values.json === true);
    const one = values.json ? await cellOf(layout, id) : null;
    if (one) say(JSON.stringify(one));
    else if (action === 'resume') say(`${id} is in use again`);
    else if (!waits) say(`${id} is being drained; ./cupola cell list shows how far it is`);
    return 0;
  },
});

const ACTIONS = ['list', 'drain', 'resume'] as const;

/** What is to be done, and with which cell. Throws UsageError. */
function wanted([word, id, ...more]: readonly string[]): { action: (typeof ACTIONS)[number]; id: string } {
  if (word === undefined) throw new UsageError(`cell takes one of ${ACTIONS.join(', ')}`);
  const action = ACTIONS.find((one) => one === word);
  if (action === undefined) throw new UsageError(`cell takes one of ${ACTIONS.join(', ')}, and no "${word}"`);
  if (action === 'list') {
    if (id !== undefined) throw new UsageError('cell list takes no further word');
    return { action, id: '' };
  }
  if (id === undefined) throw new UsageError(`cell ${action} takes a cell; ./cupola cell list names them`);
  if (more.length > 0) throw new UsageError('one cell at a time');
  if (!/^[a-z0-9-]{1,64}$/.test(id)) throw new UsageError(`"${id}" is no cell's name`);
  return { action, id };
}

async function list(layout: Layout, json: boolean): Promise<number> {
  const cells = await askSupervisor(layout, 'GET /cells');
  if (json) {
    say(JSON.stringify(cells));
    return 0;
  }
  const rows = cells.map((one) => [
    one.id,
    describe(one),
    one.zone || '-',
    one.address || '-',
    one.placementTags.join(', ') || '-',
    String(one.instances),
    String(one.tasks),
    waitingFor(one),
  ]);
  const header = ['cell', 'state', 'zone', 'address', 'tags', 'instances', 'tasks', ''];
  for (const line of table([header, ...rows])) say(line);
  return 0;
}

/** Says what is left each time it changes. What waits for room waits on: the operator adds room, resumes, or interrupts. */
async function untilDrained(layout: Layout, id: string, silent: boolean): Promise<void> {
  let said = '';
  for (;;) {
    const one = await cellOf(layout, id);
    if (isDrained(one)) {
      if (!silent) say(`${id} is drained${one.live ? '' : '; it does not answer'}`);
      return;
    }
    if (!one.draining) throw new CupolaError('drain_ended', `the drain of ${id} was called off`);
    const waiting = waitingFor(one);
    const text = `${id}: ${one.instances} instances and ${one.tasks} tasks left${waiting ? `; ${waiting}` : ''}`;
    if (text !== said && !silent) say(text);
    said = text;
    await pause(LOOK_MS);
  }
}

async function cellOf(layout: Layout, id: string): Promise<CellStatus> {
  const one = (await askSupervisor(layout, 'GET /cells')).find((known) => known.id === id);
  if (!one) throw new CupolaError('cell_unknown', `there is no cell ${id}; ./cupola cell list names them`);
  return one;
}

function isDrained(one: CellStatus): boolean {
  return one.draining && one.instances === 0 && one.tasks === 0;
}

function describe(one: CellStatus): string {
  if (!one.live) return one.draining ? 'lost, to be drained' : 'not seen';
  if (!one.draining) return 'in use';
  return isDrained(one) ? 'drained' : 'draining';
}

function waitingFor(one: CellStatus): string {
  return one.waiting
    .map(({ reason, instances }) =>
      reason === '' ? `${instances} starting elsewhere` : `${instances} without room elsewhere: ${reason}`,
    )
    .join('; ');
}
