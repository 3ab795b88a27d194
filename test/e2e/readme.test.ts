import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { run } from '../../src/kit/process.ts';
import { DEFAULT_DATA_DIRECTORY } from '../../src/platform/layout.ts';
import { loadSettings } from '../../src/platform/settings/store.ts';
import { STACKS } from '../support/garden.ts';
import { NO_OFFICIAL_CF, officialCf } from '../support/official-cf.ts';
import { ROOT, runProgram } from '../support/platform.ts';
import { makeTestData } from '../support/test-data.ts';

const CF = officialCf();
const SKIP = process.getuid?.() !== 0 ? 'needs root' : CF === null ? NO_OFFICIAL_CF : false;

interface Shown {
  command: string;
  prints: string[];
}

/** What README.md shows of a terminal: each command behind "$ ", and the lines that it prints. */
function shownIn(page: string): Shown[] {
  const shown: Shown[] = [];
  for (const line of /```console\n(.*?)```/s.exec(page)?.[1]?.trimEnd().split('\n') ?? []) {
    if (line.startsWith('$ ')) shown.push({ command: line.slice(2), prints: [] });
    else shown.at(-1)?.prints.push(line);
  }
  return shown;
}

/** Without what differs from one run to the next: numbers, GUIDs, spaces between columns. */
function plain(line: string): string {
  return stripVTControlCharacters(line)
    .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, 'GUID')
    .replaceAll(/\d+(\.\d+)*/g, '0')
    .replaceAll(/\b0(ms|s|m|h|[KMG]B?)\b/g, '0')
    .replaceAll(/\s+/g, ' ')
    .trimEnd();
}

/** Whether a command printed those lines, where "…" stands for any number of others. */
function isPrinted(wanted: readonly string[], printed: readonly string[]): boolean {
  const [line, ...rest] = wanted;
  if (line === undefined) return printed.length === 0;
  if (line === '…') return printed.some((_, at) => isPrinted(rest, printed.slice(at))) || rest.length === 0;
  return printed.length > 0 && plain(line) === plain(printed[0]!) && isPrinted(rest, printed.slice(1));
}

describe('the commands of README.md', { skip: SKIP }, () => {
  const home = SKIP ? '' : mkdtempSync('/tmp/cupola-e2e-home-');
  const env = {
    ...process.env,
    HOME: home,
    PATH: `${dirname(CF ?? '')}:${process.env['PATH']}`,
    TERM: 'xterm-256color',
    CUPOLA_STACK_CACHE: STACKS,
    CUPOLA_BUILDPACK_CACHE: '/var/cache/cupola-test-buildpacks/fetched',
  };
  const cupola = (...args: string[]) => runProgram(join(ROOT, 'cupola'), args, { env, timeoutMs: 5 * 60_000 });

  const disk = SKIP ? '' : makeTestData();

  before(async () => {
    assert.equal(loadSettings(DEFAULT_DATA_DIRECTORY), null, 'nothing is installed');
    mkdirSync(DEFAULT_DATA_DIRECTORY, { mode: 0o700 });
    await run('mount', ['--bind', disk, DEFAULT_DATA_DIRECTORY]); // the machine of a test has no room for it there
  });
  after(async () => {
    if (loadSettings(DEFAULT_DATA_DIRECTORY)) await cupola('destroy', '--yes');
    await run('umount', [DEFAULT_DATA_DIRECTORY]);
    for (const directory of [DEFAULT_DATA_DIRECTORY, disk, home]) rmSync(directory, { recursive: true });
  });

  /** At a terminal, where it asks for the password. */
  async function typed(command: string): Promise<string[]> {
    const child = spawn('script', ['-qefc', `stty cols 100 rows 40; ${command}`, '/dev/null'], { cwd: ROOT, env });
    let said = '';
    let answered = false;
    const hear = async (chunk: Buffer): Promise<void> => {
      said += chunk.toString();
      if (answered || !/Password:\s*$/.test(said)) return;
      answered = true;
      child.stdin.write(`${JSON.parse((await cupola('credentials', '--json')).stdout).password}\r`);
    };
    child.stdout.on('data', hear);
    const { promise, resolve } = Promise.withResolvers<number | null>();
    child.on('close', resolve);
    const timer = setTimeout(() => child.kill('SIGKILL'), 3 * 60_000);
    assert.equal(await promise.finally(() => clearTimeout(timer)), 0, said);
    // A passing line is overwritten by the next.
    return said
      .trimEnd()
      .split(/\r*\n/)
      .map((line) => line.split('\r\u001b[K').at(-1)!);
  }

  const page = readFileSync(join(ROOT, 'README.md'), 'utf8');
  test('do what they say in the order in which they stand there, and print what is shown', async () => {
    const all = shownIn(page);
    assert.equal(all.length, 6);
    for (const { command, prints } of all) {
      const printed = await typed(command);

      assert.ok(isPrinted(prints, printed), `${command} prints\n${printed.join('\n')}`);
    }
  });
});
