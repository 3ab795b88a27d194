// What each process of the platform holds in memory while nothing happens, and how long the API, a sign-in and a read of a log take
// (p99) while others flood the platform with logs, uploads or sign-ins. Needs root and an installation of its own, which runs:
//
//   node bench/control-roles.ts [data directory] [seconds]
//
// Each question is asked on a kept connection, every 40 ms whether or not the one before is answered. The flood comes from a process of
// its own. Clients are elsewhere: who asks goes before all else of the machine, so that what it waits for is the platform, and the
// sender of the flood comes last, as far as the scheduler can be told. How control is cut into processes is what `./cupola up
// --separate-roles` says.
import { spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { setPriority } from 'node:os';
import { buffer } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import Type, { type Static, type TSchema } from 'typebox';
import { ZipFile } from 'yazl';
import { EnvelopeWriter } from '../src/contracts/envelope-wire.ts';
import { Ingress } from '../src/contracts/gen/loggregator_pb.js';
import { checkedJson } from '../src/kit/checked.ts';
import { messageOf } from '../src/kit/errors.ts';
import { issue } from '../src/kit/pki.ts';
import { run } from '../src/kit/process.ts';
import { client, remoteTransport } from '../src/kit/rpc.ts';
import { PlatformStatus } from '../src/platform/admin-messages.ts';
import { publicUrl } from '../src/platform/public-names.ts';
import { rpcUrlOf } from '../src/platform/roles/contracts.ts';
import { processOf, roleProcesses } from '../src/platform/roles/cut.ts';
import { openSecrets } from '../src/platform/secrets.ts';
import { loadSettings } from '../src/platform/settings/store.ts';

const [data = '/var/lib/cupola', secondsText = '15', flood, floodPlace = ''] = process.argv.slice(2);
const seconds = Number(secondsText);
const EVERY_MS = 40;
const ROUNDS = 5;
const UPLOAD_BYTES = 64 * 1024 ** 2;
const settings = loadSettings(data)!;
const secrets = openSecrets(settings);
const agent = new Agent({ keepAlive: true, ca: secrets.routerRoot.cert });

interface Asked {
  method?: string;
  headers?: Record<string, string>;
  body?: Buffer | string;
}

/** Gives the answer's body; throws where it is none of 2xx. */
async function ask(host: string, path: string, { method = 'GET', headers = {}, body }: Asked = {}): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const url = new URL(path, publicUrl(settings, host));
  const address = settings.bindAddress === '0.0.0.0' ? '127.0.0.1' : settings.bindAddress;
  const target = { host: address, port: settings.httpsPort, servername: url.hostname, path, method, agent };
  const call = request({ ...target, headers: { host: url.host, ...headers } }, (response) => {
    let text = '';
    response.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
    response.on('end', () => {
      if ((response.statusCode ?? 500) < 300) resolve(text);
      else reject(new Error(`${method} ${path}: ${response.statusCode} ${text.slice(0, 200)}`));
    });
  });
  call.on('error', reject);
  call.end(body);
  return promise;
}

function as<Shape extends TSchema>(shape: Shape, text: string): Static<Shape> {
  return checkedJson(shape, text, { code: 'invalid_answer', what: 'the answer' });
}

const FORM = { 'content-type': 'application/x-www-form-urlencoded' };
const byClient = () =>
  ask('uaa', '/oauth/token', {
    method: 'POST',
    headers: {
      ...FORM,
      authorization: `Basic ${Buffer.from(`admin:${secrets.clientSecrets.admin}`).toString('base64')}`,
    },
    body: 'grant_type=client_credentials',
  });
const byPassword = () =>
  ask('uaa', '/oauth/token', {
    method: 'POST',
    headers: { ...FORM, authorization: `Basic ${Buffer.from('cf:').toString('base64')}` },
    body: new URLSearchParams({
      grant_type: 'password',
      username: settings.adminUser,
      password: secrets.adminPassword,
    }).toString(),
  });
const Token = Type.Object({ access_token: Type.String() });
const bearer = { authorization: `bearer ${as(Token, await byPassword()).access_token}` };
const json = { ...bearer, 'content-type': 'application/json' };
const Made = Type.Object({ guid: Type.String() });
const make = async (path: string, body: unknown): Promise<string> =>
  as(Made, await ask('api', path, { method: 'POST', headers: json, body: JSON.stringify(body) })).guid;

/** As a cell sends them: batches of 500 lines of 100 apps. */
async function sendLogs(app: string): Promise<void> {
  const validity = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000) };
  const own = await issue(secrets.platformRoot, { commonName: 'cell', dnsNames: ['cell'], ...validity });
  const identity = { ...own, ca: secrets.platformRoot.cert };
  const transport = remoteTransport(rpcUrlOf(settings, 'logs'), identity, processOf(settings, 'logs').name);
  const ingress = client(Ingress, transport);
  const payload = Buffer.from(`10.0.0.1 - - "GET /orders HTTP/1.1" 200 1532 ${'x'.repeat(80)}`);
  const tags = { source_type: 'APP/PROC/WEB', process_type: 'web', app_name: 'orders' };
  const writer = new EnvelopeWriter();
  for (;;) {
    const batch = Array.from({ length: 500 }, (_, n) => ({
      timestampNs: BigInt(Date.now()) * 1_000_000n,
      sourceId: n % 100 === 0 ? app : `00000000-0000-4000-8000-${String(n % 100).padStart(12, '0')}`,
      instanceId: '0',
      tags,
      message: { case: 'log' as const, value: { payload } },
    }));
    await ingress.send({ batch: batch.map((envelope) => writer.write(envelope)) });
    if (flood === undefined) return;
    done += batch.length;
  }
}

async function upload(app: string): Promise<void> {
  const boundary = 'boundary-of-the-upload';
  const head = `--${boundary}\r\ncontent-disposition: form-data; name="bits"; filename="app.zip"\r\ncontent-type: application/zip\r\n\r\n`;
  const body = Buffer.concat([
    Buffer.from(head),
    await zipOf(randomBytes(UPLOAD_BYTES)),
    Buffer.from(`\r\n--${boundary}--\r\n`),
  ]);
  const headers = {
    ...bearer,
    'content-type': `multipart/form-data; boundary=${boundary}`,
    'content-length': String(body.length),
  };
  for (;;) {
    const relationships = { app: { data: { guid: app } } };
    const guid = await make('/v3/packages', { type: 'bits', relationships });
    await ask('api', `/v3/packages/${guid}/upload`, { method: 'POST', headers, body });
    await ask('api', `/v3/packages/${guid}`, { method: 'DELETE', headers: bearer });
    done += 1;
  }
}

/** An archive of one file that is not packed: random bytes are not made smaller. */
async function zipOf(content: Buffer): Promise<Buffer> {
  const zip = new ZipFile();
  zip.addBuffer(content, 'content', { compress: false });
  zip.end();
  return buffer(zip.outputStream);
}

/** As `nice`, of a whole process and, where the kernel groups them so, of its session. */
function rank(pid: number, nice: number): void {
  setPriority(pid, nice);
  const group = `/proc/${pid}/autogroup`;
  if (existsSync(group)) writeFileSync(group, String(nice));
}

let done = 0;

async function again(body: () => Promise<unknown>): Promise<never> {
  for (;;) {
    // Who is told to come again does.
    await body().then(
      () => (done += 1),
      () => pause(100),
    );
  }
}

/** What floods do, each several times at once. */
const FLOODS: Record<string, { times: number; body: (app: string) => Promise<unknown> }> = {
  logs: { times: 4, body: sendLogs },
  uploads: { times: 2, body: upload },
  'client sign-ins': { times: 16, body: () => again(byClient) },
  'password sign-ins': { times: 16, body: () => again(byPassword) },
};

if (flood !== undefined) {
  const { times, body } = FLOODS[flood]!;
  const began = process.cpuUsage();
  process.once('SIGTERM', () => {
    const { user, system } = process.cpuUsage(began);
    console.log(`${done} done, ${((user + system) / 1_000_000).toFixed(1)} s of its own processor time`);
    process.exit(0);
  });
  await Promise.all(Array.from({ length: times }, () => body(floodPlace)));
}

/** Proportional set size and what of it is no file's, in MB. */
function memoryOf(pid: number): { whole: number; own: number } {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const megabytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0) / 1024;
  return { whole: megabytes('Pss'), own: megabytes('Pss_Anon') };
}

/** Of a process and all that it started, but for those that are listed by themselves. */
function memoryOfAll(root: number, others: ReadonlySet<number>): { whole: number; own: number } {
  const children = readdirSync(`/proc/${root}/task`).flatMap((thread) =>
    readFileSync(`/proc/${root}/task/${thread}/children`, 'utf8')
      .trim()
      .split(' ')
      .map(Number)
      .filter((child) => child > 0 && !others.has(child)),
  );
  const all = [memoryOf(root), ...children.map((child) => memoryOfAll(child, others))];
  return { whole: all.reduce((sum, one) => sum + one.whole, 0), own: all.reduce((sum, one) => sum + one.own, 0) };
}

async function memory(): Promise<void> {
  const status = as(
    PlatformStatus,
    await run(`${import.meta.dirname}/../cupola`, ['status', '--data', data, '--json']),
  );
  const listed = [...status.components, { name: 'supervisor', pid: status.supervisor.pid }];
  const others = new Set(listed.map(({ pid }) => pid!));
  let sum = 0;
  for (const { name, pid } of listed) {
    const { whole, own } = memoryOfAll(pid!, others);
    sum += whole;
    console.log(`${name.padEnd(16)}${whole.toFixed(1).padStart(8)} MB, of it ${own.toFixed(1)} anonymous`);
  }
  console.log(`${'all'.padEnd(16)}${sum.toFixed(1).padStart(8)} MB (goal 500 MB)`);
}

rank(process.pid, -20);
const space = await make('/v3/spaces', {
  name: `bench-${randomUUID()}`,
  relationships: {
    organization: { data: { guid: await make('/v3/organizations', { name: `bench-${randomUUID()}` }) } },
  },
});
const app = await make('/v3/apps', { name: 'orders', relationships: { space: { data: { guid: space } } } });
await sendLogs(app);

const QUESTIONS = {
  API: () => ask('api', '/v3/organizations?per_page=5', { headers: bearer }),
  'sign-in': byClient,
  'log read': () => ask('log-cache', `/api/v1/read/${app}?limit=100&descending=true`, { headers: bearer }),
};

type Question = keyof typeof QUESTIONS;
type Taken = Record<Question, number[]>;

const failures = new Set<string>();
const nothing = (): Taken => ({ API: [], 'sign-in': [], 'log read': [] });

/** How long each question took, in ms, within so long. */
async function askAll(milliseconds: number, taken: Taken): Promise<void> {
  const asked = (Object.keys(QUESTIONS) as Question[]).map(async (name) => {
    const waiting: Promise<void>[] = [];
    const until = performance.now() + milliseconds;
    for (let next = performance.now(); next < until; next += EVERY_MS) {
      await pause(Math.max(0, next - performance.now()));
      const began = performance.now();
      const ended = QUESTIONS[name]().catch((error: unknown) => void failures.add(messageOf(error)));
      waiting.push(ended.then(() => void taken[name].push(performance.now() - began)));
    }
    await Promise.all(waiting);
  });
  await Promise.all(asked);
}

function at(share: number, taken: number[]): number {
  return taken.toSorted((one, other) => one - other)[Math.floor(taken.length * share)] ?? 0;
}

/** By turns with and without the flood, which is held meanwhile: others may use the machine too. */
async function compare(name: string): Promise<void> {
  const flooding = [import.meta.filename, data, secondsText, name, app];
  // A session of its own: one with who asks would be one to the scheduler.
  const child = spawn(process.execPath, flooding, { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  rank(child.pid!, 10);
  let told = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    told += part;
  });
  await pause(1_500);
  const [without, within] = [nothing(), nothing()];
  for (let round = 0; round < ROUNDS; round++) {
    child.kill('SIGSTOP');
    await pause(300);
    await askAll((seconds * 1_000) / ROUNDS, without);
    child.kill('SIGCONT');
    await pause(300);
    await askAll((seconds * 1_000) / ROUNDS, within);
  }
  child.kill();
  await new Promise((resolve) => child.once('close', resolve));
  const parts = (Object.keys(QUESTIONS) as Question[]).map((one) => {
    const [before, after] = [at(0.99, without[one]), at(0.99, within[one])];
    return `${one} ${before.toFixed(0)} → ${after.toFixed(0)} ms (${(after / before).toFixed(1)} times)`;
  });
  console.log(`${name} (${told.trim()}): ${parts.join('; ')}`);
  for (const failure of failures) console.log(`FAILED: ${failure}`);
  failures.clear();
  await pause(1_000);
}

console.log(
  `processes: ${roleProcesses(settings)
    .map(({ name, roles }) => `${name} (${roles.join(' ')})`)
    .join(', ')}`,
);
await memory();
await askAll(3_000, nothing()); // loads what is loaded late
console.log('p99 without → with the flood:');
for (const name of Object.keys(FLOODS)) await compare(name);
await memory();
process.exit(0);
