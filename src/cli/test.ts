import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, symlink } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { CupolaError } from '../kit/errors.ts';
import { together } from '../kit/together.ts';
import { ensurePackages, TESTED_ENGINES } from '../platform/host/packages.ts';
import { BundledTests } from './lanes/bundled-tests.ts';
import {
  costs,
  type FileResult,
  failuresIn,
  filesApart,
  type LaneResult,
  mostCostly,
  RUNNER,
  runFiles,
} from './lanes/files.ts';
import { INSIDE, LANE_PACKAGES } from './lanes/lane.ts';
import { linesOfFailure, reportsIn } from './lanes/report.ts';
import { REPORTER } from './lanes/reporter.ts';
import { Run, removeDeadRuns } from './lanes/runs.ts';
import { SETUP } from './lanes/shared.ts';
import { filesOf, OF_EVERY_CHANGE, SUITES } from './lanes/suites.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const BIN = join(ROOT, 'node_modules/.bin');
/** Where the tests look for a stack; building one takes minutes, so it is kept between runs. */
const STACKS = '/var/cache/cupola-test-stacks';
/** The image of the engines, likewise. */
const ENGINES = '/var/cache/cupola-test-engines';
const TOOLS = '/var/cache/cupola-test-tools';
/** Programs only tests call, and the packages they come from. */
const TEST_PACKAGES: Readonly<Record<string, string>> = {
  curl: 'curl',
  tar: 'tar',
  zip: 'zip',
  unzip: 'unzip',
  'docker-registry': 'docker-registry',
  zsh: 'zsh',
  fish: 'fish',
  ...LANE_PACKAGES,
  gpg: 'gnupg',
  busybox: 'busybox-static',
};
/** Debian starts this one by itself, and again at every boot, unless it is masked before it is installed. */
const UNWANTED_SERVICE = '/etc/systemd/system/docker-registry.service';
const MINUTE = 60_000;

interface Step {
  name: string;
  run(context: Context): Promise<void>;
  /** Nothing after it makes sense where it failed. */
  isNeeded?: boolean;
}

/** What steps leave for later steps and for the summary. */
interface Context {
  path: string;
  notes: string[];
  /** Tests that failed, and why. */
  failures: string[];
  run: Run;
  tests: BundledTests;
}

/**
 * So many files at once, each on a machine of its own. Two more than processors: all of them wait now and then. More take more of the
 * processors and end no sooner.
 */
const LANES = Number(process.env['CUPOLA_TEST_LANES'] ?? Math.max(3, availableParallelism() + 2));
/** A busy machine takes several times as long as an idle one. */
const UNIT_MINUTES = 20;
/** No file of tests takes longer. */
const FILE_MINUTES = 15;
/** Nor, together, files that share a platform, for each after the first. */
const FURTHER_FILE_MINUTES = 5;

const CHECKS: Step[] = [
  { name: 'packages of the machine', run: preparePackages },
  { name: 'what killed tests left', run: removeTheDead },
  { name: 'types', run: checkTypes },
  { name: 'lint and format', run: lint },
  { name: 'stack for containers and image of the engines', run: prepareTrees },
  { name: 'official cf command-line tool', run: prepareOfficialCf },
];

/**
 * Checks the project and runs its tests, step after step, whatever a step before found. `args` choose suites ("unit", "integration",
 * "end-to-end", "long"), directories or files; without any all run that every change must pass. Gives the exit code: 0 when every step passed.
 */
async function runTests(args: readonly string[]): Promise<number> {
  const { files, unknown } = filesOf(args.length > 0 ? args : OF_EVERY_CHANGE, ROOT);
  if (unknown.length > 0) {
    const suites = Object.keys(SUITES).join(', ');
    console.error(`cupola test: no suite, file or directory of tests: ${unknown.join(', ')}; suites are ${suites}`);
    return 2;
  }
  const unit = files.filter((file) => file.startsWith('test/unit/'));
  const others = files.filter((file) => !unit.includes(file));
  const steps: Step[] = [
    ...CHECKS,
    { name: 'tests in few files', run: (context) => bundle(files, context), isNeeded: true },
    ...(unit.length > 0 ? [{ name: 'unit tests', run: (context: Context) => runUnitTests(unit, context) }] : []),
    ...(others.length > 0
      ? [{ name: 'tests on the engines', run: (context: Context) => runOnMachines(others, context) }]
      : []),
  ];
  using testRun = new Run();
  const context: Context = {
    path: [BIN, process.env['PATH'] ?? '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'].join(delimiter),
    notes: [],
    failures: [],
    run: testRun,
    tests: new BundledTests(ROOT, testRun.tests),
  };
  const results: { name: string; seconds: number; failure: string | null }[] = [];
  for (const step of steps) {
    console.log(`\n=== ${step.name}`);
    const began = Date.now();
    const failure = await step.run(context).then(
      () => null,
      (cause: unknown) => describeFailure(cause),
    );
    if (failure) console.log(`FAILED: ${failure}`);
    results.push({ name: step.name, seconds: Math.round((Date.now() - began) / 1000), failure });
    if (failure && step.isNeeded) break;
  }
  console.log('\n=== summary');
  for (const text of context.notes) console.log(`note  ${text}`);
  for (const text of context.failures) console.log(`FAIL  ${text}`);
  for (const { name, seconds, failure } of results) {
    console.log(`${failure ? 'FAIL' : 'pass'}  ${name} (${seconds} s)${failure ? `: ${failure}` : ''}`);
  }
  return results.some(({ failure }) => failure) ? 1 : 0;
}

function describeFailure(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  return cause.cause ? `${cause.message}: ${describeFailure(cause.cause)}` : cause.message;
}

async function preparePackages(context: Context): Promise<void> {
  if (process.getuid?.() !== 0) {
    context.notes.push('not run as root: no package was installed, and container and end-to-end tests are skipped');
    console.log('not root: left as it is');
    return;
  }
  await ensurePackages((text) => console.log(text), TESTED_ENGINES);
  const missing = Object.entries(TEST_PACKAGES).flatMap(([program, name]) =>
    find(program, context.path) ? [] : [name],
  );
  if (missing.length > 0) {
    if (missing.includes('docker-registry')) await mask(UNWANTED_SERVICE);
    await execute('apt-get', ['--quiet', 'update'], context, 5);
    const options = ['--quiet', '--yes', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=120'];
    await execute('apt-get', ['install', ...options, ...missing], context, 10);
  }
  console.log('all there');
}

/** What the machine's operator put there stays. */
async function mask(unit: string): Promise<void> {
  await mkdir(dirname(unit), { recursive: true });
  await symlink('/dev/null', unit).catch(() => {});
}

async function removeTheDead(): Promise<void> {
  if (process.getuid?.() === 0) await removeDeadRuns();
}

/** Each checker works out for itself what others know: more of them than processors take longer. */
async function checkTypes(context: Context): Promise<void> {
  const checkers = Math.min(4, availableParallelism());
  await execute(join(BIN, 'tsc'), ['--noEmit', '--checkers', String(checkers)], context, 10);
}

async function lint(context: Context): Promise<void> {
  // a copy without Git (an archive, say) is checked too, only without its ignore file
  const git = existsSync(join(ROOT, '.git')) ? [] : ['--vcs-enabled=false'];
  await execute(join(BIN, 'biome'), ['check', ...git, '.'], context, 5);
}

/** Both at once: the one waits for the network while the other has the processor. */
async function prepareTrees(context: Context): Promise<void> {
  if (process.getuid?.() !== 0) {
    console.log('not root: left as it is');
    return;
  }
  const prepare = (tool: string, directory: string) =>
    execute(process.execPath, [join(ROOT, 'test/tools', tool), directory], context, 15);
  await together([prepare('prepare-stack.ts', STACKS), prepare('prepare-engines.ts', ENGINES)]);
}

/** Takes the tool in PATH, or builds the release pinned in test/tools/cf-cli with Go where there is Go. */
async function prepareOfficialCf(context: Context): Promise<void> {
  const present = find('cf', context.path);
  if (present) {
    console.log(`found ${present}`);
    return;
  }
  const go = find('go', [context.path, '/usr/local/go/bin'].join(delimiter));
  if (!go) {
    context.notes.push('SKIPPED: every test with the official cf: it is not in PATH, and there is no Go to build it');
    console.log('not in PATH, and no Go to build it: every test with the official cf is skipped');
    return;
  }
  const directory = await toolsDirectory();
  const tool = join(ROOT, 'test/tools/cf-cli');
  await execute(
    go,
    ['build', '-buildvcs=false', '-o', join(directory, 'cf'), 'code.cloudfoundry.org/cli/v8'],
    context,
    10,
    { cwd: tool },
  );
  context.path = [directory, context.path].join(delimiter);
  console.log(`built ${join(directory, 'cf')}`);
}

async function toolsDirectory(): Promise<string> {
  const directory = process.getuid?.() === 0 ? TOOLS : join(ROOT, '.cache/test-tools');
  await mkdir(directory, { recursive: true, mode: 0o755 });
  return directory;
}

function find(name: string, path: string): string | null {
  const files = path.split(delimiter).map((directory) => join(directory, name));
  return files.find((file) => existsSync(file)) ?? null;
}

async function bundle(files: readonly string[], { tests }: Context): Promise<void> {
  await tests.make([...files, SETUP, INSIDE]);
  console.log(`${files.length} files of tests`);
}

async function runUnitTests(files: readonly string[], context: Context): Promise<void> {
  const { tests, run } = context;
  const report = join(run.reports, 'unit.json');
  const reports = [`--test-reporter=${REPORTER}`, `--test-reporter-destination=${report}`];
  const paths = files.map((file) => tests.pathOf(file));
  const args = [...RUNNER, `--test-concurrency=${LANES}`, ...reports, ...paths];
  const env = { TMPDIR: run.nextLane().temporary }; // goes with the run, as a lane's /tmp does
  try {
    await execute(process.execPath, args, context, UNIT_MINUTES, { env });
  } finally {
    for (const said of reportsIn(report, tests)) note(said, context);
  }
}

/** Each file on a machine of its own, where this is root; else those that need none. */
async function runOnMachines(files: readonly string[], context: Context): Promise<void> {
  if (process.getuid?.() !== 0) {
    const paths = files.map((file) => context.tests.pathOf(file));
    return execute(process.execPath, [...RUNNER, '--test-concurrency=1', ...paths], context, 40);
  }
  const results: LaneResult[] = [];
  const how = {
    tests: context.tests,
    env: environmentOf(context),
    run: context.run,
    inside: context.tests.pathOf(INSIDE),
    mostMinutes: FILE_MINUTES,
    moreMinutes: FURTHER_FILE_MINUTES,
  };
  let ended = 0;
  await runFiles(files, LANES, how, (result) => {
    const { name, failure, output } = result;
    results.push(result);
    ended += result.files.length;
    console.log(`\n--- ${name} (${costs(result)}, ${ended} of ${files.length})${failure ? ` FAILED: ${failure}` : ''}`);
    console.log(`${filesApart(result)}${failure ? output : withoutCounts(output)}`);
    for (const said of result.files) note(said, context);
  });
  context.notes.push(...mostCostly(results));
  const failed = results.flatMap(failuresIn);
  if (failed.length > 0) throw new CupolaError('tests_failed', failed.join('; '));
}

/** What the runner says at the end of each file says nothing where all passed. */
function withoutCounts(output: string): string {
  return output.replace(/^ℹ (tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) .*\n/gm, '').trimEnd();
}

function note({ file, skipped, failures }: Pick<FileResult, 'file' | 'skipped' | 'failures'>, context: Context): void {
  for (const name of skipped) context.notes.push(`SKIPPED in ${file}: ${name}`);
  for (const failure of failures) context.failures.push(`${file}: ${linesOfFailure(failure).join('\n')}`);
}

function environmentOf({ path, run }: Context): NodeJS.ProcessEnv {
  const { NODE_TEST_CONTEXT: _, ...environment } = process.env;
  return { NODE_COMPILE_CACHE: run.compiled, ...environment, PATH: path };
}

/** Runs a program with our own standard output and error; throws when it fails or takes longer than `minutes`. */
function execute(
  command: string,
  args: string[],
  context: Context,
  minutes: number,
  { cwd = ROOT, env = {} }: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<void> {
  const { promise, resolve: done, reject } = Promise.withResolvers<void>();
  const child = spawn(command, args, {
    cwd,
    env: { ...environmentOf(context), ...env },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill('SIGTERM'); // the test runner ends its files on it
    setTimeout(() => child.kill('SIGKILL'), 10_000).unref();
  }, minutes * MINUTE);
  child.on('error', (cause) => reject(new CupolaError('command_failed', `${command} could not be started`, { cause })));
  child.on('close', (code, signal) => {
    clearTimeout(timer);
    if (code === 0) return done();
    const how = late ? `took longer than ${minutes} minutes` : `ended with ${code ?? signal}`;
    reject(new CupolaError('command_failed', `${command.split('/').at(-1)} ${how}`));
  });
  return promise;
}

// `cupola test` runs this file as a program.
if (import.meta.main) process.exitCode = await runTests(process.argv.slice(2));
