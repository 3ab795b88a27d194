import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { columns } from '../../../src/cli/columns.ts';
import { COMMANDS, run } from '../../../src/cli/run.ts';
import { howToGoOn } from '../../../src/cli/up/advice.ts';
import { PROJECT, programDigest } from '../../../src/kit/project.js';
import { ROTATABLE } from '../../../src/platform/admin-messages.ts';
import { SETTING_OPTIONS } from '../../../src/platform/settings/options.ts';
import { projectFiles } from '../../support/project-files.ts';
import { testSettings } from '../../support/settings.ts';

/** What a command line says, and its exit code. */
async function said(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const output = {
    stdout: { write: (text: string) => (out += text) },
    stderr: { write: (text: string) => (err += text) },
  };
  return { code: await run(args, output), out, err };
}

describe('./cupola', () => {
  test('every command says what it takes when it is asked, and does nothing', async () => {
    assert.ok(Object.keys(COMMANDS).length >= 15);
    for (const [name, { load, summary }] of Object.entries(COMMANDS)) {
      const { flags } = await load();
      for (const args of [
        [name, '--help'],
        [name, '-h'],
        [name, 'x', '--json', '--help'],
      ]) {
        const { code, out, err } = await said(...args);
        assert.deepEqual([code, err], [0, ''], args.join(' '));
        const flat = out.replaceAll(/\s+/g, ' ');
        assert.ok(out.startsWith(`Usage: ./cupola ${name}`) && flat.includes(summary.slice(1)), out);
        for (const [flag, { help }] of Object.entries(flags))
          assert.ok(flat.includes(`--${flag}`) && flat.includes(help), `${flag}\n${out}`);
      }
    }
  });

  test('what a command says of itself fits a terminal of 80 characters, and no word of it is lost', async () => {
    for (const args of [['--help'], ...Object.keys(COMMANDS).map((name) => [name, '--help'])]) {
      const { out } = await said(...args);
      for (const line of out.split('\n')) assert.ok(line.length <= 80 && line === line.trimEnd(), `${args}: "${line}"`);
    }
    const lines = columns([
      ['--short', 'a help that goes on and on, and is longer than one line of a terminal has room for'],
      ['--an-option-that-is SO-LONG', 'has its help below'],
    ]);
    assert.deepEqual(lines, [
      '  --short                   a help that goes on and on, and is longer than one',
      '                            line of a terminal has room for',
      '  --an-option-that-is SO-LONG',
      '                            has its help below',
    ]);
  });

  test('what a command says of itself has no colour where it is no terminal', async () => {
    for (const name of Object.keys(COMMANDS)) assert.ok(!(await said(name, '--help')).out.includes('\u001b'), name);
  });

  test('every command that answers something does so in JSON, too', async () => {
    const silent = await Promise.all(
      Object.entries(COMMANDS).map(async ([name, { load }]) => ('json' in (await load()).flags ? [] : [name])),
    );
    // Lines as they come, a run of tests, a script.
    assert.deepEqual(silent.flat(), ['logs', 'test', 'completion']);
  });

  test('the list of commands names each', async () => {
    const { code, out } = await said('--help');
    assert.equal(code, 0);
    for (const name of Object.keys(COMMANDS)) assert.match(out, new RegExp(`^  ${name}\\b`, 'm'));
    assert.deepEqual(await said('help'), { code: 0, out, err: '' });
  });

  test('`help` with a command says what that one takes, and the list says so', async () => {
    const { code, out, err } = await said('help', 'up');
    assert.deepEqual([code, err], [0, '']);
    assert.ok(out.startsWith('Usage: ./cupola up [OPTIONS]\n') && out.includes('--https-port N '), out);
    assert.deepEqual(await said('--help', 'up'), { code, out, err });
    assert.match((await said('help')).out, /\.\/cupola COMMAND --help says what a command takes/);
    assert.deepEqual(await said('help', 'bogus'), await said('bogus'));
  });

  test('`--version` says which code it is, by the names that `status` has for it', async () => {
    const { code, out, err } = await said('--version');
    assert.deepEqual([code, err], [0, '']);
    const { version } = JSON.parse(readFileSync(join(PROJECT, 'package.json'), 'utf8')) as { version: string };
    assert.equal(out, `cupola ${version}, code ${programDigest()} in ${PROJECT}, Node.js ${process.version}\n`);
  });

  test('a word that is no command is told in one line, which says where the commands are', async () => {
    const err = 'cupola: there is no command "bogus"; see ./cupola help\n';
    assert.deepEqual(await said('bogus', '--json'), { code: 2, out: '', err });
    assert.equal(
      (await said('stauts')).err,
      'cupola: there is no command "stauts"; did you mean status? see ./cupola help\n',
    );
    assert.deepEqual(await said(), { code: 2, out: '', err: (await said('help')).out });
  });

  test('`up` has an option for every setting that an operator may say', async () => {
    const out = (await said('up', '--help')).out.replaceAll(/\s+/g, ' ');
    for (const { flag, takes, help, unlessTold } of Object.values(SETTING_OPTIONS)) {
      const otherwise = unlessTold === 'none' ? '' : ` (default: ${unlessTold}`;
      assert.ok(out.includes(`--${flag} ${takes} ${help}${otherwise}`), flag);
    }
  });

  test('`rotate` names all that can be rotated', async () => {
    const { out } = await said('rotate', '--help');
    assert.ok(out.startsWith(`Usage: ./cupola rotate [${ROTATABLE.join('|')}]`), out);
    assert.match((await said('rotate', 'much')).err, /^cupola: rotate takes one of .*, and no "much"\n/);
    assert.match((await said('status', 'much')).err, /^cupola: Unexpected argument 'much'/);
  });

  test('`cell` names the word that it does not know, and those that it knows', async () => {
    for (const [args, message] of [
      [[], 'cell takes one of list, drain, resume'],
      [['foo'], 'cell takes one of list, drain, resume, and no "foo"'],
      [['foo', 'cell-0'], 'cell takes one of list, drain, resume, and no "foo"'],
      [['drain'], 'cell drain takes a cell; ./cupola cell list names them'],
      [['list', 'cell-0'], 'cell list takes no further word'],
      [['resume', 'cell-0', 'cell-1'], 'one cell at a time'],
      [['drain', 'Cell 0'], '"Cell 0" is no cell\'s name'],
    ] as const) {
      const { code, out, err } = await said('cell', ...args);
      assert.deepEqual([code, out], [2, '']);
      assert.ok(
        err.startsWith(`cupola: ${message}\nUsage: ./cupola cell list | drain CELL | resume CELL [OPTIONS]\n`),
        err,
      );
    }
  });

  test('an option that there is not is named with the nearest, in short lines, and without its value', async () => {
    const where = 'Usage: ./cupola up [OPTIONS]\n./cupola up --help says more\n';
    for (const [args, message] of [
      [['--cell', '3'], 'there is no option --cell; did you mean --cells?'],
      [['--domian=planted'], 'there is no option --domian; did you mean --domain?'],
      [['--nothing-like-it'], 'there is no option --nothing-like-it'],
      [['-x'], 'there is no option -x'],
    ] as const)
      assert.deepEqual(await said('up', ...args), { code: 2, out: '', err: `cupola: ${message}\n${where}` });
  });

  test('wrong words are refused with the usage, exit code 2, and what an option takes', async () => {
    const refused = async (args: string[], message: string): Promise<void> => {
      const { code, out, err } = await said('up', ...args);
      assert.deepEqual([code, out], [2, '']);
      assert.ok(err.startsWith(`cupola: ${message}\nUsage: ./cupola up [OPTIONS]\n./cupola up --help `), err);
    };
    await refused(['--cells', '9'], '--cells takes 1 to 8');
    await refused(['--cells', 'two'], '--cells takes 1 to 8');
    await refused(['--https-port', '0'], '--https-port takes 1 to 65535');
    await refused(['--ssh', 'maybe'], '--ssh takes on or off');
    await refused(['--http2-apps', 'yes'], '--http2-apps takes on or off');
    await refused(
      ['--cell-tags', 'cell-9=x'],
      '--cell-tags takes CELL=TAG,…, e.g. cell-1=secure, of cells that there are',
    );
    await refused(['--user-requests', '59'], '--user-requests takes at least 60 requests a minute');
    await refused(['--allow-registry', 'https://x/'], '--allow-registry takes the host (and port) of a registry');
    await refused(['--org-storage', '1.5'], '--org-storage takes 1 to 1000000000');
  });

  test('SECURITY 28: a variable that is refused is not repeated', async () => {
    const { code, err } = await said('up', '--staging-env', 'A=1', '--staging-env', '=planted');
    assert.doesNotMatch(err, /planted/);
    assert.equal(code, 2);
    assert.match(err, /^cupola: --staging-env takes NAME=VALUE\n/);
  });

  test('options of other commands are checked as those of `up` are, and what may be a secret is not repeated', async () => {
    for (const [args, message] of [
      [['logs', '--lines', 'many'], '--lines takes a whole number'],
      [['logs', '-n', '1.5'], '--lines takes a whole number'],
      [['rotate', 'roots', '--overlap', '9000'], '--overlap takes hours, at most a year'],
      [['push', '--env', 'A=1', '--env', 'planted'], '--env takes NAME=VALUE'],
      [['push', 'a', 'b'], 'push takes one directory'],
      [['completion'], 'completion takes one of bash, zsh, fish'],
      [['completion', 'tcsh'], 'completion takes one of bash, zsh, fish'],
    ] as const) {
      const { code, out, err } = await said(...args);
      assert.deepEqual([code, out, err.split('\n')[0]], [2, '', `cupola: ${message}`]);
    }
  });

  test('what `up` says at its end has the certificate checked, and so do all texts for users', async () => {
    const text = howToGoOn(testSettings({ httpsPort: 8443, dataDirectory: '/data' }), 12, null);
    const lines = text.split('\n').map((line) => line.trim());
    const login = lines.indexOf('cf login -a https://api.cupola.localhost:8443 -u admin');
    assert.deepEqual(lines.slice(login - 2, login), [
      './cupola trust --data /data',
      './cupola push --data /data examples/hello-node',
    ]);
    const pages = projectFiles().filter((path) => /^(README|docs\/.*|examples\/.*)\.(md|yml)$|^src\//.test(path));
    assert.ok(pages.length > 500, `${pages.length} files`);
    const unchecked = /skip-ssl-validation|curl[^\n]* (-k|--insecure) /;
    assert.deepEqual(
      pages.filter((path) => unchecked.test(readFileSync(join(PROJECT, path), 'utf8'))),
      [],
    );
  });
});
