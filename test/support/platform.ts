import { spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type Agent, request } from 'node:https';
import { join, resolve } from 'node:path';
import { PLAIN_ENVIRONMENT } from '../../src/kit/process.ts';
import type { PlatformStatus } from '../../src/platform/admin-messages.ts';
import { type Layout, layoutOf } from '../../src/platform/layout.ts';
import { loadSettings } from '../../src/platform/settings/store.ts';
import { STACKS } from './garden.ts';
import { ENGINES } from './haproxy.ts';
import { allProcesses, type Seen } from './processes.ts';
import { makeTestData } from './test-data.ts';

export const ROOT = resolve(import.meta.dirname, '../..');

/** What `cupola credentials --json` prints. */
export interface Credentials {
  api: string;
  username: string;
  password: string;
  domain: string;
  ca_cert: string;
}

export interface Answer {
  status: number;
  body: string;
}

export interface RequestOptions {
  path?: string;
  /** Makes it a POST. */
  body?: string;
  /** A bearer token. */
  token?: string;
  /** By default every request has a connection of its own. */
  agent?: Agent | false;
  byName?: boolean;
  /** Asks once more where a kept connection was closed between two requests, as clients do (RFC 9112, 9.3.1). */
  again?: boolean;
  timeoutMs?: number;
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

  /** `unpackAhead`: each of its cells unpacks all system buildpacks as it starts, which takes longer than most of a test's stagings. */
  constructor(options: {
    httpsPort: number;
    domain: string;
    data?: string;
    options?: readonly string[];
    unpackAhead?: boolean;
  }) {
    this.httpsPort = options.httpsPort;
    this.domain = options.domain;
    this.data = options.data ?? makeTestData();
    this.#options = [...(options.unpackAhead ? [] : ['--unpack-ahead', 'off']), ...(options.options ?? [])];
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
      CUPOLA_ENGINES_CACHE: ENGINES,
      CUPOLA_BUILDPACK_CACHE: '/var/cache/cupola-test-buildpacks/fetched',
    };
    const parameters = [command, '--data', this.data, ...args];
    return runProgram(join(project, 'cupola'), parameters, { env, cwd: project, timeoutMs });
  }

  /** `cupola up`, and what its clients need. */
  async up(): Promise<void> {
    const options = ['--https-port', String(this.httpsPort), '--domain', this.domain, ...this.#options, '--json'];
    await this.cupola('up', options, 15 * 60_000);
    await this.attach();
  }

  /** Of one that is up: reads what its clients need. */
  async attach(): Promise<void> {
    this.#credentials = JSON.parse(await this.cupola('credentials', ['--json'])) as Credentials;
    writeFileSync(this.caFile, this.#credentials.ca_cert);
    const settings = loadSettings(this.data);
    if (!settings) throw new Error(`no settings in ${this.data}`);
    this.#layout = layoutOf(settings);
  }

  /** What is running, whether or not it is ready: to a busy machine's own question the API may be late for a moment. */
  async status(): Promise<PlatformStatus> {
    const { exitCode, stdout, stderr } = await this.tryCupola('status', ['--json']);
    // It names none where it is down.
    if (!stdout.includes('"components"')) throw new Error(`cupola status ended with ${exitCode}\n${stdout}\n${stderr}`);
    return JSON.parse(stdout) as PlatformStatus;
  }

  /** Of the components, by name. */
  async pids(): Promise<Record<string, number | null>> {
    return Object.fromEntries((await this.status()).components.map(({ name, pid }) => [name, pid]));
  }

  /** The processes of apps, as the machine sees them: those in the installation's range of user numbers. */
  appProcesses(words = /^/): Seen[] {
    const { uidRangeBase } = this.layout.settings;
    const end = uidRangeBase + 8 * 256 * 65_536;
    return allProcesses().filter((seen) => seen.uid >= uidRangeBase && seen.uid < end && words.test(seen.arguments));
  }

  /** Throws where an account stays that no installation beside needs: something of this one runs still. */
  async destroy(): Promise<void> {
    const said = await this.cupola('destroy', ['--yes'], 5 * 60_000);
    if (/the account \S+ stays/.test(said)) throw new Error(said);
  }

  /** Whatever is left of it, at the end of a file. */
  async remove(): Promise<void> {
    try {
      if (loadSettings(this.data)) await this.destroy();
    } finally {
      this.removeFiles();
    }
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

  /** Up, with the official cf signed in as the administrator and pointed at a new org and its space `dev`. */
  async upWithOrg(cf: string, org = 'acme'): Promise<void> {
    await this.up();
    await this.signIn(cf);
    await this.makeOrg(cf, org);
  }

  async signIn(cf: string): Promise<void> {
    await this.cf(cf, ['api', this.credentials.api]);
    await this.cf(cf, ['auth', this.credentials.username], { password: this.credentials.password });
  }

  /** Makes an org with the space `dev`, and targets them. */
  async makeOrg(cf: string, org: string): Promise<void> {
    await this.cf(cf, ['create-org', org]);
    await this.cf(cf, ['create-space', 'dev', '-o', org]);
    await this.cf(cf, ['target', '-o', org, '-s', 'dev']);
  }

  /** Waits until each process of an app has all its instances: a push ends with the first that runs. */
  async allInstances(cf: string, app: string, more: CfOptions = {}): Promise<void> {
    await eventually(`all instances of ${app}`, async () => {
      const counts = [...(await this.cf(cf, ['app', app], more)).matchAll(/^instances:\s+(\d+)\/(\d+)$/gm)];
      return counts.length > 0 && counts.every(([, running, wanted]) => running === wanted);
    });
  }

  /** One HTTPS request, a POST where there is a body, to `<name>.<domain>`: the machine's resolver finds it, the installation's CA vouches for it. */
  ask(name: string, path = '/', options: { body?: string } = {}): Promise<Answer> {
    return this.request(name, { path, ...options, byName: true, timeoutMs: 60_000 });
  }

  /** What an app answers once it does so with 200. */
  answer(name: string, path = '/'): Promise<string> {
    return eventually(`${name} answers`, async () => {
      const { status, body } = await this.ask(name, path);
      return status === 200 && body;
    });
  }

  /**
   * One HTTPS request to `<name>.<domain>`, verified with the installation's CA. It goes straight to the router's address, so that the
   * machine's resolver is no part of what is tried, unless `byName`. Rejects where no whole answer comes.
   */
  request(name: string, options: RequestOptions = {}): Promise<Answer> {
    const { promise, resolve: done, reject } = Promise.withResolvers<Answer>();
    const { path = '/', body, token, agent = false, byName = false, again = false, timeoutMs = 20_000 } = options;
    const host = `${name}.${this.domain}`;
    const call = request(
      {
        host: byName ? host : '127.0.0.1',
        servername: host,
        port: this.httpsPort,
        path,
        method: body === undefined ? 'GET' : 'POST',
        headers: {
          host: `${host}:${this.httpsPort}`,
          ...(token === undefined ? {} : { authorization: `bearer ${token}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ca: this.credentials.ca_cert,
        agent,
        timeout: timeoutMs,
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => done({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
      },
    );
    call.on('timeout', () => call.destroy(new Error(`${host} did not answer in ${timeoutMs} ms`)));
    call.on('error', (error: NodeJS.ErrnoException) => {
      if (!again || !call.reusedSocket || error.code !== 'ECONNRESET') return reject(error);
      this.request(name, { ...options, agent: false, again: false }).then(done, reject);
    });
    call.end(body);
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
