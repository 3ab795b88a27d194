import assert from 'node:assert/strict';
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { completionScript, SHELLS, suggestions } from '../../../src/cli/completion.ts';
import { COMMANDS } from '../../../src/cli/run.ts';
import { wordsAfter } from '../../../src/cli/words.ts';
import { PLAIN_ENVIRONMENT, run } from '../../../src/kit/process.ts';
import { PROJECT } from '../../../src/kit/project.js';
import { inPath } from '../../../src/platform/host/packages.ts';
import { saveSettings } from '../../../src/platform/settings/store.ts';
import { testSettings } from '../../support/settings.ts';

const directory = mkdtempSync(join(tmpdir(), 'cupola-completion-'));
after(() => rmSync(directory, { recursive: true }));

/** What may stand for the last word of a line. */
async function offered(line: string): Promise<string[]> {
  const found = await suggestions(COMMANDS, line.split(' ').slice(1));
  return found.map((one) => (one.kind === 'literal' ? one.text : `<${one.type}>`));
}

describe('what completes a line', () => {
  test('commands, and what of them begins so', async () => {
    assert.deepEqual(await offered('cupola '), [...Object.keys(COMMANDS), 'help']);
    assert.deepEqual(await offered('cupola st'), ['status']);
    assert.deepEqual(await offered('cupola help cr'), ['credentials']);
    assert.deepEqual(await offered('cupola --'), ['--help', '--version']);
    assert.deepEqual(await offered('cupola bogus '), []);
  });

  test('options of that command which are not given yet, or may be repeated', async () => {
    assert.deepEqual(await offered('cupola up --h'), ['--https-port', '--http2-apps', '--help']);
    assert.deepEqual(await offered('cupola up --https-port 8443 --h'), ['--http2-apps', '--help']);
    assert.deepEqual(await offered('cupola push -o acme --o'), []);
    assert.deepEqual(await offered('cupola push --env A=1 --e'), ['--env']);
  });

  test('what an option takes', async () => {
    assert.deepEqual(await offered('cupola up --ssh '), ['on', 'off']);
    assert.deepEqual(await offered('cupola up --ssh=of'), ['--ssh=off']);
    assert.deepEqual(await offered('cupola up --key-file '), ['<file>']);
    assert.deepEqual(await offered('cupola push --data '), ['<directory>']);
    assert.deepEqual(await offered('cupola up --domain '), []);
  });

  test('words in the places that usage has for them', async () => {
    assert.deepEqual(await offered('cupola cell '), ['list', 'drain', 'resume']);
    assert.deepEqual(await offered('cupola cell list '), []);
    assert.deepEqual(await offered('cupola rotate --overlap 2 '), ['components', 'instances', 'uaa', 'roots', 'all']);
    assert.deepEqual(await offered('cupola push '), ['<directory>']);
    assert.deepEqual(await offered('cupola push examples/hello-node '), []);
    assert.deepEqual(wordsAfter('[ONE|two…]', ['x', 'two', 'y']), ['ONE', 'two']);
  });

  test('cells and logs of the installation that the line names; none where nothing is installed', async () => {
    const dataDirectory = join(directory, 'data');
    mkdirSync(join(dataDirectory, 'logs'), { recursive: true, mode: 0o700 });
    saveSettings(testSettings({ dataDirectory, cells: 2 }));
    writeFileSync(join(dataDirectory, 'logs/control.log'), '');
    assert.deepEqual(await offered(`cupola cell --data ${dataDirectory} drain `), ['cell-0', 'cell-1']);
    assert.deepEqual(await offered(`cupola logs control --data=${dataDirectory} `), ['control']);
    assert.deepEqual(await offered(`cupola cell --data ${directory} drain `), []);
  });
});

/** A shell at a terminal, into which somebody types. */
class Terminal {
  readonly #child: ChildProcessWithoutNullStreams;
  #said = '';

  constructor(shell: string) {
    this.#child = spawn('script', ['-qefc', shell, '/dev/null'], {
      cwd: PROJECT,
      env: { ...PLAIN_ENVIRONMENT, HOME: directory, TERM: 'dumb' },
    });
    this.#child.stdout.on('data', (chunk: Buffer) => (this.#said += chunk.toString()));
  }

  /** Types, and waits until the terminal shows a text. */
  async type(keys: string, shows: string): Promise<void> {
    this.#said = '';
    this.#child.stdin.write(keys);
    const deadline = Date.now() + 60_000;
    while (!stripVTControlCharacters(this.#said).includes(shows)) {
      assert.ok(Date.now() < deadline, `"${shows}" is not shown but ${JSON.stringify(this.#said)}`);
      await new Promise((wake) => setTimeout(wake, 50));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#child.on('close', resolve));
    this.#child.kill();
    await ended;
  }
}

const shellAtTerminal = {
  bash: 'bash --norc --noprofile -i',
  zsh: 'zsh -f -i',
};

describe('the shells themselves', () => {
  const program = join(PROJECT, 'cupola');
  const scriptOf = (shell: string): string => join(directory, `completion.${shell}`);

  before(() => {
    for (const shell of Object.keys(SHELLS)) writeFileSync(scriptOf(shell), completionScript(shell, program));
  });

  for (const [shell, command] of Object.entries(shellAtTerminal)) {
    const skip = ['script', shell].some((name) => !inPath(name)) && `needs ${shell} and script`;
    test(`${shell} completes commands, options, values and directories at TAB, by ./cupola and by cupola`, {
      skip,
    }, async () => {
      await using terminal = new Terminal(command);
      const start = shell === 'zsh' ? 'autoload -Uz compinit && compinit -u -D && ' : '';
      await terminal.type(`${start}. ${scriptOf(shell)} && echo rea''dy\r`, 'ready\r\n');
      await terminal.type('./cupola sta\t', 'status ');
      await terminal.type('\u0015./cupola up --https-p\t', '--https-port ');
      await terminal.type('\u0015./cupola up --ssh of\t', '--ssh off ');
      await terminal.type('\u0015./cupola cell dr\t', 'drain ');
      await terminal.type('\u0015cupola push examples/hello-no\t', 'examples/hello-node/');
      await terminal.type('\u0015cd / && cupola --versi\t\r', 'code ');
    });
  }

  test('fish completes commands with what they do, options, values and directories', {
    skip: !inPath('fish') && 'needs fish',
  }, async () => {
    const lines = ['./cupola sta', './cupola up --https-p', './cupola up --ssh=of', 'cupola push examples/hello-no'];
    const asked = lines.map((line) => `complete -C '${line}'`).join('; ');
    const said = await run('fish', ['--no-config', '-c', `source ${scriptOf('fish')}; cd ${PROJECT}; ${asked}`], {
      env: { HOME: directory },
    });
    assert.deepEqual(said.trimEnd().split('\n'), [
      'status\tshow processes, cells and certificates',
      '--https-port\tthe port of the API and of apps; 443 also opens 80 for apps',
      '--ssh=off',
      'examples/hello-node/',
    ]);
  });
});
