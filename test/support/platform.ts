import { spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { join, resolve } from 'node:path';
import { PLAIN_ENVIRONMENT } from '../../src/kit/process.ts';
import { type Layout, layoutOf, loadSettings } from '../../src/platform/settings.ts';
import type { PlatformStatus } from '../../src/platform/supervisor-client.ts';
import { STACKS } from './garden.ts';

export const ROOT = resolve(import.meta.dirname, '../..');

/** What `cupola credentials --json` prints. */
export interface Credentials {
  api: string;
  username: string;
  password: string;
  domain: string;
  ca_cert: string;
}

/** What a program said until it ended; its output and errors go through files, so that no daemon keeps a pipe open. */
export interface Ended {
  exitCode: number | null;
  stdout: string;
  stderr: string;
}

export async function runProgram(
  command: string,
  args: string[],
  { env, cwd = ROOT, timeoutMs = 120_000 }: { env: NodeJS.ProcessEnv; cwd?: string; timeoutMs?: number },
): Promise<Ended> {
  const directory = mkdtempSync('/tmp/cupola-e2e-said-');
  const files = ['out', 'err'].map((name) => join(directory, name));
  const [out, err] = files.map((file) => openSync(file, 'w', 0o600)) as [number, number];
  try {
    const child = spawn(command, args, { cwd, env, stdio: ['ignore', out, err] });
    const ended = Promise.withResolvers<number | null>();
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    child.on('error', ended.reject);
    child.on('exit', (code) => ended.resolve(code));
    const exitCode = await ended.promise.finally(() => clearTimeout(timer));
    const [stdout, stderr] = files.map((file) => readFileSync(file, 'utf8')) as [string, string];
    return { exitCode, stdout, stderr };
  } finally {
    closeSync(out);
    closeSync(err);
    rmSync(directory, { recursive: true });
  }
}

export interface CfOptions {
  password?: string;
  timeoutMs?: number;
  env?: Readonly<Record<string, string>>;
}

/** One installation of the platform, put up by the command line as an operator does it. */
export class TestPlatform {
  readonly data: string;
  /** Where the test keeps what is its own: the CA, the cf CLI's home. */
  readonly home = mkdtempSync('/tmp/cupola-e2e-home-');
  readonly caFile = join(this.home, 'ca.pem');
  readonly httpsPort: number;
  readonly domain: string;
  /** More for the first `up`. */
  readonly #options: readonly string[];
  #credentials: Credentials | null = null;
  #layout: Layout | null = null;

  constructor(options: { httpsPort: number; domain: string; data?: string; options?: readonly string[] }) {
    this.httpsPort = options.httpsPort;
    this.domain = options.domain;
    this.data = options.data ?? mkdtempSync('/tmp/cupola-e2e-');
    this.#options = options.options ?? [];
  }

  get credentials(): Credentials {
    if (!this.#credentials) throw new Error('the platform is not up');
    return this.#credentials;
  }

  get layout(): Layout {
    if (!this.#layout) throw new Error('the platform is not up');
    return this.#layout;
  }

  /** Runs `./cupola <command> --data …`; throws with what it said when it fails. */
  async cupola(command: string, args: string[] = [], timeoutMs = 120_000, project = ROOT): Promise<string> {
    const { exitCode, stdout, stderr } = await this.tryCupola(command, args, timeoutMs, project);
    if (exitCode !== 0) throw new Error(`cupola ${command} ended with ${exitCode}\n${stdout}\n${stderr}`);
    return stdout;
  }

  /** The same, whatever comes of it. `project` is another checkout. */
  tryCupola(command: string, args: string[] = [], timeoutMs = 120_000, project = ROOT): Promise<Ended> {
    const { NODE_TEST_CONTEXT: _, ...inherited } = process.env;
    const env = {
      ...inherited,
      CUPOLA_STACK_CACHE: STACKS,
      CUPOLA_BUILDPACK_CACHE: '/var/cache/cupola-test-buildpacks/fetched',
    };
    const parameters = [command, '--data', this.data, ...args];
    return runProgram(join(project, 'cupola'), parameters, { env, cwd: project, timeoutMs });
  }

  /** `cupola up`; the first one also reads the credentials. */
  async up(): Promise<void> {
    const options = ['--https-port', String(this.httpsPort), '--domain', this.domain, ...this.#options, '--json'];
    await this.cupola('up', options, 15 * 60_000);
    this.#credentials = JSON.parse(await this.cupola('credentials', ['--json'])) as Credentials;
    writeFileSync(this.caFile, this.#credentials.ca_cert);
    const settings = loadSettings(this.data);
    if (!settings) throw new Error(`no settings in ${this.data}`);
    this.#layout = layoutOf(settings);
  }

  async status(): Promise<PlatformStatus> {
    return JSON.parse(await this.cupola('status', ['--json'])) as PlatformStatus;
  }

  async destroy(): Promise<void> {
    await this.cupola('destroy', ['--yes'], 5 * 60_000);
  }

  removeFiles(): void {
    rmSync(this.home, { recursive: true, force: true });
    rmSync(this.data, { recursive: true, force: true });
  }

  /** The official cf, verifying the router's certificate with the installation's CA, and with a home of its own. */
  async cf(file: string, args: string[], more: CfOptions = {}): Promise<string> {
    const { exitCode, stdout, stderr } = await this.tryCf(file, args, more);
    if (exitCode !== 0) throw new Error(`cf ${args.join(' ')} ended with ${exitCode}\n${stdout}\n${stderr}`);
    return stdout;
  }

  tryCf(file: string, args: string[], more: CfOptions = {}): Promise<Ended> {
    const env: NodeJS.ProcessEnv = {
      ...PLAIN_ENVIRONMENT,
      HOME: this.home,
      CF_HOME: this.home,
      CF_COLOR: 'false',
      SSL_CERT_FILE: this.caFile,
      ...(more.password === undefined ? {} : { CF_PASSWORD: more.password }),
      ...more.env,
    };
    return runProgram(file, args, { env, timeoutMs: more.timeoutMs ?? 5 * 60_000 });
  }

  /** One HTTPS request, a POST where there is a body, to `<name>.<domain>`: the machine's resolver finds it, the installation's CA vouches for it. */
  ask(name: string, path = '/', options: { body?: string } = {}): Promise<{ status: number; body: string }> {
    const { promise, resolve: done, reject } = Promise.withResolvers<{ status: number; body: string }>();
    const url = `https://${name}.${this.domain}:${this.httpsPort}${path}`;
    const agent = new Agent({ keepAlive: false });
    const method = options.body === undefined ? 'GET' : 'POST';
    const call = request(url, { method, ca: this.credentials.ca_cert, agent, timeout: 60_000 }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => done({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
    });
    call.on('timeout', () => call.destroy(new Error(`${url} did not answer in a minute`)));
    call.on('error', reject);
    call.end(options.body);
    return promise;
  }
}

/** Asks until `check` gives something, and gives that; throws after `timeoutMs` with the last failure. */
export async function eventually<T>(
  what: string,
  check: () => Promise<T | null | undefined | false>,
  timeoutMs = 60_000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  let last: unknown = null;
  while (Date.now() < deadline) {
    try {
      const found = await check();
      if (found) return found;
      last = null;
    } catch (cause) {
      last = cause;
    }
    await new Promise((wake) => setTimeout(wake, 500));
  }
  throw new Error(`${what}: not within ${timeoutMs} ms`, { cause: last });
}
