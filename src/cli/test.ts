import { spawn } from 'node:child_process';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { mkdir, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { CupolaError } from '../kit/errors.ts';
import { ensurePackages } from '../platform/host/packages.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const BIN = join(ROOT, 'node_modules/.bin');
/** Where the tests look for a stack; building one takes minutes, so it is kept between runs. */
const STACKS = '/var/cache/cupola-test-stacks';
const TOOLS = '/var/cache/cupola-test-tools';
/** Programs only tests call, and the packages they come from. */
const TEST_PACKAGES: Readonly<Record<string, string>> = {
  curl: 'curl',
  tar: 'tar',
  zip: 'zip',
  unzip: 'unzip',
  'docker-registry': 'docker-registry',
  busybox: 'busybox-static',
};
/** Debian starts this one by itself, and again at every boot, unless it is masked before it is installed. */
const UNWANTED_SERVICE = '/etc/systemd/system/docker-registry.service';
const MINUTE = 60_000;

interface Step {
  name: string;
  run(context: Context): Promise<void>;
}

/** What steps leave for later steps and for the summary. */
interface Context {
  path: string;
  notes: string[];
  reports: string;
}

interface Suite {
  name: string;
  files: string;
  /** Test files at once. Container suites share a gateway address and the machine's nftables: one at a time. */
  concurrency: number;
  timeoutMinutes: number;
}

const SUITES: Suite[] = [
  { name: 'unit tests', files: 'test/unit/**/*.test.ts', concurrency: 2, timeoutMinutes: 5 },
  { name: 'integration tests', files: 'test/integration/**/*.test.ts', concurrency: 1, timeoutMinutes: 15 },
  { name: 'end-to-end tests', files: 'test/e2e/**/*.test.ts', concurrency: 1, timeoutMinutes: 20 },
];

const STEPS: Step[] = [
  { name: 'packages of the machine', run: preparePackages },
  { name: 'types', run: (context) => execute(join(BIN, 'tsc'), ['--noEmit'], context, 5) },
  { name: 'lint and format', run: lint },
  { name: 'stack for containers', run: prepareStack },
  { name: 'official cf command-line tool', run: prepareOfficialCf },
  ...SUITES.map((suite) => ({ name: suite.name, run: (context: Context) => runSuite(suite, context) })),
];

/**
 * Checks the project and runs all its tests, step after step, whatever a step before found. `args` choose suites by
 * name ("unit", "integration", "end-to-end"); without any all run. Gives the exit code: 0 when every step passed.
 */
export async function runTests(args: readonly string[]): Promise<number> {
  const unknown = args.filter((word) => !SUITES.some(({ name }) => name === `${word} tests`));
  if (unknown.length > 0) {
    console.error(`cupola test: unknown suite ${unknown.join(', ')}; there are unit, integration, end-to-end`);
    return 2;
  }
  const steps = STEPS.filter(
    ({ name }) => args.length === 0 || !SUITES.some((suite) => suite.name === name) || args.includes(name.slice(0, -6)),
  );
  const context: Context = {
    path: [BIN, process.env['PATH'] ?? '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'].join(delimiter),
    notes: [],
    reports: mkdtempSync(join(tmpdir(), 'cupola-test-')),
  };
  const results: { name: string; seconds: number; failure: string | null }[] = [];
  try {
    for (const step of steps) {
      console.log(`\n=== ${step.name}`);
      const began = Date.now();
      const failure = await step.run(context).then(
        () => null,
        (cause: unknown) => describeFailure(cause),
      );
      if (failure) console.log(`FAILED: ${failure}`);
      results.push({ name: step.name, seconds: Math.round((Date.now() - began) / 1000), failure });
    }
  } finally {
    rmSync(context.reports, { recursive: true, force: true });
  }
  console.log('\n=== summary');
  for (const note of context.notes) console.log(`note  ${note}`);
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
  await ensurePackages((text) => console.log(text));
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

async function lint(context: Context): Promise<void> {
  // a copy without Git (an archive, say) is checked too, only without its ignore file
  const git = existsSync(join(ROOT, '.git')) ? [] : ['--vcs-enabled=false'];
  await execute(join(BIN, 'biome'), ['check', ...git, '.'], context, 5);
}

async function prepareStack(context: Context): Promise<void> {
  if (process.getuid?.() !== 0) {
    console.log('not root: left as it is');
    return;
  }
  await execute(process.execPath, [join(ROOT, 'test/tools/prepare-stack.ts'), STACKS], context, 15);
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
    tool,
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

async function runSuite(suite: Suite, context: Context): Promise<void> {
  const files = globSync(suite.files, { cwd: ROOT }).sort();
  if (files.length === 0) throw new CupolaError('no_tests', `no file matches ${suite.files}`);
  const report = join(context.reports, `${suite.name.replaceAll(' ', '-')}.tap`);
  const reporters = ['spec', 'tap'].map((name) => `--test-reporter=${name}`);
  const destinations = ['stdout', report].map((name) => `--test-reporter-destination=${name}`);
  const args = ['--test', `--test-concurrency=${suite.concurrency}`, '--test-timeout=600000'];
  try {
    await execute(process.execPath, [...args, ...reporters, ...destinations, ...files], context, suite.timeoutMinutes);
  } finally {
    for (const name of skippedTests(report)) {
      console.log(`skipped: ${name}`);
      context.notes.push(`SKIPPED in ${suite.name}: ${name}`);
    }
  }
}

/** The TAP lines that say "# SKIP", with the reason. */
function skippedTests(report: string): string[] {
  if (!existsSync(report)) return [];
  const lines = readFileSync(report, 'utf8').matchAll(/^\s*ok \d+ - (.*?) # SKIP ?(.*)$/gm);
  return [...lines].map(([, name, reason]) => (reason ? `${name} (${reason})` : `${name}`));
}

/** Runs a program with our own standard output and error; throws when it fails or takes longer than `minutes`. */
function execute(command: string, args: string[], context: Context, minutes: number, cwd = ROOT): Promise<void> {
  const { promise, resolve: done, reject } = Promise.withResolvers<void>();
  const { NODE_TEST_CONTEXT: _, ...environment } = process.env;
  const child = spawn(command, args, {
    cwd,
    env: { ...environment, PATH: context.path },
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
