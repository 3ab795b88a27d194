import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, mkdtempSync, rmSync } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HaproxySocket } from '../../src/kit/haproxy.ts';
import { createIntermediate, createRoot, issue, type KeyAndCertificate } from '../../src/kit/pki.ts';
import { PLAIN_ENVIRONMENT, run } from '../../src/kit/process.ts';
import { chosenImage } from '../../src/platform/engines/image/image.ts';

/** Another one than the engines' image has, to be tried. */
const OTHER = process.env['CUPOLA_TEST_HAPROXY'];

export interface TestHaproxy {
  pid: number;
  output: () => string;
  /** Ends it and waits for it. */
  kill(signal?: NodeJS.Signals): Promise<void>;
}

/** The unprivileged account the tests run HAProxy as; null where the tests have no root themselves. */
export async function haproxyAccount(): Promise<{ uid: number; gid: number } | null> {
  if (process.getuid?.() !== 0) return null;
  return {
    uid: Number(await run('id', ['-u', 'haproxy'])),
    gid: Number(await run('id', ['-g', 'haproxy'])),
  };
}

/** Where tests find the engines' image. */
export const ENGINES = process.env['CUPOLA_ENGINES_CACHE'] ?? '/var/cache/cupola-test-engines';

/** The tree of this checkout's. Throws where it was not built. */
export function imageRoot(): string {
  const image = chosenImage(ENGINES, undefined);
  if (!image) throw new Error(`needs the engines: node test/tools/prepare-engines.ts ${ENGINES}`);
  return image.root;
}

/** What runs HAProxy: in a namespace that ends with it, in which the image has the place of /usr. Without root the machine's runs. */
export function haproxyCommand(args: readonly string[], privileges: readonly string[] = []): [string, ...string[]] {
  const engine = [...privileges, OTHER ?? 'haproxy', ...args];
  const within =
    process.getuid?.() === 0 && OTHER === undefined
      ? ['unshare', '--mount', 'sh', '-ec', 'mount --bind "$1" /usr; shift; exec "$@"', 'sh', join(imageRoot(), 'usr')]
      : [];
  return [...within, ...engine] as [string, ...string[]];
}

/** Starts HAProxy as the supervisor does: in the foreground, without root and any capability. Ready when its socket answers. */
export async function startHaproxy(
  configFile: string,
  socket: string,
  { more = [], inherit = [] }: { more?: readonly string[]; inherit?: readonly number[] } = {},
): Promise<TestHaproxy> {
  const account = await haproxyAccount();
  const privileges = account
    ? [
        'setpriv',
        `--reuid=${account.uid}`,
        `--regid=${account.gid}`,
        '--clear-groups',
        '--inh-caps=-all',
        '--ambient-caps=-all',
        '--no-new-privs',
      ]
    : [];
  const [program, ...args] = haproxyCommand(['-db', '-f', configFile, ...more], privileges);
  const child: ChildProcess = spawn(program, args, {
    env: PLAIN_ENVIRONMENT,
    stdio: ['ignore', 'pipe', 'pipe', ...inherit],
  });
  const killWithTests = () => child.kill('SIGKILL'); // a test that breaks off leaves nothing behind
  process.once('exit', killWithTests);
  let output = '';
  const take = (chunk: Buffer) => {
    output += chunk.toString();
  };
  child.stdout?.on('data', take);
  child.stderr?.on('data', take);
  const ended = once(child, 'exit');
  const api = new HaproxySocket(socket);
  for (let attempt = 0; ; attempt += 1) {
    try {
      if ((await api.process()).startsWith(`${child.pid}/`)) break;
    } catch {
      // not yet
    }
    if (child.exitCode !== null || attempt > 200) throw new Error(`HAProxy did not start: ${output}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return {
    pid: child.pid!,
    output: () => output,
    kill: async (signal = 'SIGTERM') => {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      await ended;
      process.off('exit', killWithTests);
    },
  };
}

export interface TestPki {
  platformRoot: KeyAndCertificate;
  instanceRoot: KeyAndCertificate;
  routerRoot: KeyAndCertificate;
  control: KeyAndCertificate;
  router: KeyAndCertificate;
  front: KeyAndCertificate;
  /** An instance's certificate, under the intermediate. */
  instance(guid: string): Promise<KeyAndCertificate>;
  component(commonName: string): Promise<KeyAndCertificate>;
  /** Another public certificate. */
  renewFront(): Promise<KeyAndCertificate>;
}

export async function createTestPki(domain: string): Promise<TestPki> {
  const notBefore = new Date(Date.now() - 60_000);
  const notAfter = new Date(Date.now() + 86_400_000);
  const platformRoot = await createRoot('platform', notBefore, notAfter);
  const instanceRoot = await createRoot('instances', notBefore, notAfter);
  const routerRoot = await createRoot('routers', notBefore, notAfter);
  const intermediate = await createIntermediate(instanceRoot, 'instance intermediate', notBefore, notAfter);
  const component = (commonName: string) =>
    issue(platformRoot, { commonName, dnsNames: [commonName], notBefore, notAfter });
  const renewFront = () =>
    issue(routerRoot, {
      commonName: domain,
      dnsNames: [domain, `*.${domain}`],
      notBefore,
      notAfter,
      usages: ['server'],
    });
  return {
    platformRoot,
    instanceRoot,
    routerRoot,
    control: await component('control'),
    router: await component('router'),
    front: await renewFront(),
    renewFront,
    instance: (guid) => issue(intermediate, { commonName: guid, dnsNames: [guid], notBefore, notAfter }),
    component,
  };
}

/** A temporary directory HAProxy's account can walk into. */
export function temporaryDirectory(prefix: string): { path: string; remove(): void } {
  const path = mkdtempSync(`/tmp/${prefix}-`);
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** A directory of one account in which another's group may reach what is made there. */
export async function makeDirectory(path: string, uid: number, gid: number, mode: number): Promise<void> {
  await mkdir(path, { recursive: true });
  if (process.getuid?.() === 0) chownSync(path, uid, gid);
  await chmod(path, mode);
}

export async function writePem(directory: string, name: string, pem: KeyAndCertificate | string, uid: number) {
  const path = join(directory, name);
  const text = typeof pem === 'string' ? pem : `${pem.cert.trim()}\n${pem.key.trim()}\n`;
  await writeFile(path, text, { mode: 0o600 });
  if (process.getuid?.() === 0) chownSync(path, uid, -1);
  return path;
}
