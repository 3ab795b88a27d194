import { spawn } from 'node:child_process';
import { chmodSync, cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { argumentsFor } from '../../src/cli/lanes/shared.ts';
import type { Mutation } from '../mutations/mutation.ts';
import { MUTATIONS } from '../mutations/mutations.ts';
import { ROOT } from '../support/project-files.ts';

/*
 * Breaks the code on purpose, one change at a time in a copy of the project, and looks whether the test that promises to
 * notice does: node test/tools/mutate.ts [WORD …] takes the mutations in whose file, test or title all the words occur.
 * Of the test's file only that test runs, with the hooks around it. Ends with 1 where a test does not notice, or fails
 * without any change.
 */

type Outcome = 'noticed' | 'survived' | 'fails unchanged' | 'did not run';

/** What a test said, and in its own words why, where it failed. */
interface Said {
  outcome: 'ok' | 'not ok' | 'did not run';
  reason: string;
}

const TIMEOUT_MS = 20 * 60_000;
const COPIED = ['src', 'test', 'buildpacks', 'examples', 'bench', 'docs', 'cupola', 'package.json', 'tsconfig.json'];

const words = process.argv.slice(2);
const chosen = MUTATIONS.filter((one) =>
  words.every((word) => `${one.file} ${one.test} ${one.breaks}`.toLowerCase().includes(word.toLowerCase())),
);
const copy = mkdtempSync(join(tmpdir(), 'cupola-mutated-'));
let failed = 0;
/** What each test file said of the unchanged code. */
const unchangedOutputs = new Map<string, string>();
try {
  chmodSync(copy, 0o755); // engines run as accounts of their own
  for (const name of COPIED) cpSync(join(ROOT, name), join(copy, name), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  for (const mutation of chosen) {
    const { outcome, reason } = await tryOne(mutation);
    if (outcome !== 'noticed') failed += 1;
    const word = outcome === 'noticed' ? 'noticed  ' : outcome.toUpperCase();
    console.log(`${word} ${mutation.breaks} <- ${mutation.file}: ${JSON.stringify(mutation.to)}`);
    if (reason !== '') console.log(`          ${reason}`);
  }
} finally {
  rmSync(copy, { recursive: true, force: true });
}
console.log(`${chosen.length - failed} passed, ${failed} failed`);
process.exitCode = failed > 0 || chosen.length === 0 ? 1 : 0;

async function tryOne(mutation: Mutation): Promise<{ outcome: Outcome; reason: string }> {
  const unchanged = saidIn(await unchangedOutput(mutation.test), mutation.breaks);
  if (unchanged.outcome !== 'ok') {
    return { ...unchanged, outcome: unchanged.outcome === 'not ok' ? 'fails unchanged' : 'did not run' };
  }
  const path = join(copy, mutation.file);
  const text = readFileSync(path, 'utf8');
  writeFileSync(
    path,
    text.replace(mutation.from, () => mutation.to),
  );
  try {
    const { outcome, reason } = saidIn(await runTests(mutation.test, [mutation.breaks]), mutation.breaks);
    return { outcome: outcome === 'not ok' ? 'noticed' : outcome === 'ok' ? 'survived' : outcome, reason };
  } finally {
    writeFileSync(path, text);
  }
}

/** One run for all of the file's tests that are chosen. */
async function unchangedOutput(test: string): Promise<string> {
  const titles = chosen.filter((one) => one.test === test).map(({ breaks }) => breaks);
  const output = unchangedOutputs.get(test) ?? (await runTests(test, [...new Set(titles)]));
  unchangedOutputs.set(test, output);
  return output;
}

/** Runs the tests of a file whose titles begin with one of these; gives what they said in TAP. */
async function runTests(test: string, titles: readonly string[]): Promise<string> {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const patterns = titles.map((title) => `--test-name-pattern=/^${title.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')}/`);
  // A test that fails may leave a server of its own open.
  const shared = argumentsFor([test], (file) => join(copy, file));
  const args = ['--test', '--test-force-exit', '--test-reporter=tap', ...shared, ...patterns, test];
  const child = spawn(process.execPath, args, { cwd: copy, env, stdio: ['ignore', 'pipe', 'ignore'] });
  const timer = setTimeout(() => child.kill('SIGTERM'), TIMEOUT_MS);
  const output = Buffer.concat(await child.stdout.toArray()).toString();
  clearTimeout(timer);
  return output;
}

/**
 * Of what a test file said in TAP: how the tests ended whose titles begin with `breaks`. Where a hook fails, or the code does not
 * load, none of them did run: that proves nothing.
 */
function saidIn(output: string, breaks: string): Said {
  const points = output.split(/^(?=\s*(?:ok|not ok) \d+ - )/m).map((text) => {
    const [, result, title = ''] = /^\s*(ok|not ok) \d+ - (.*)/.exec(text) ?? [];
    const [, reason = ''] = /^\s*error: (?:\|-\s*)?(.*)/m.exec(text) ?? [];
    return {
      result,
      title: title.replaceAll('\\', ''),
      ran: !/failureType: '(hookFailed|cancelled)/.test(text),
      reason,
    };
  });
  const own = points.filter(({ title }) => title.startsWith(breaks) && !title.includes('# SKIP'));
  const failures = (among: typeof points) => among.filter(({ result, ran }) => result === 'not ok' && ran);
  if (failures(own).length > 0) {
    // A suite only counts its tests that failed.
    const told = [...failures(own), ...failures(points)].find(({ reason }) => !/^'\d+ subtests? failed/.test(reason));
    return { outcome: 'not ok', reason: told?.reason ?? '' };
  }
  if (own.length > 0 && own.every(({ result }) => result === 'ok')) return { outcome: 'ok', reason: '' };
  return { outcome: 'did not run', reason: points.find(({ reason }) => reason !== '')?.reason ?? '' };
}
