// Requests through the whole TLS chain (HTTPS → router → mutual TLS → cell proxy → app) beside the same chain of bare engines:
// the same certificates, suites and hops, and of the configuration only what moves bytes. On kept connections, and with a connection and a
// handshake each; where nginx is installed, beside it too, in the place of the router.
// Run: node bench/router-chain.ts [seconds a round, default 4] [rounds, default 3]. Needs wrk. CUPOLA_TEST_HAPROXY names another HAProxy
// than the image's.
// App, engines and client share the machine's cores, so the chains take turns, and the ratio is what counts.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../src/kit/process.ts';
import { CIPHER_SUITES_TLS12, CIPHER_SUITES_TLS13 } from '../src/kit/tls.ts';
import { startHaproxy, type TestHaproxy } from '../test/support/haproxy.ts';
import { startRequestPath } from '../test/support/request-path.ts';

const [SECONDS = 4, ROUNDS = 3] = process.argv
  .slice(2)
  .filter((word) => /^\d+$/.test(word))
  .map(Number);
const CONNECTIONS = 64;
const FIRST_PORT = 21700;
const THREADS = availableParallelism();
const APP_PORT = FIRST_PORT + 8;
const HOST = 'bench.cupola.test';

interface Figures {
  requestsPerSecond: number;
  p50: number;
  p99: number;
  errors: string;
  /** Processor time of router and cell proxy a request, in microseconds. */
  router: number;
  cell: number;
}

interface Chain {
  name: string;
  port: number;
  router: () => number | readonly number[];
  cell: () => number;
}

/** What wrk does besides. */
interface Load {
  script?: string;
  headers?: readonly string[];
}

/** A connection for each request. */
const NEW_CONNECTIONS: Load = { headers: ['Connection: close'] };

const UNITS: Record<string, number> = { us: 0.001, ms: 1, s: 1000 };

/** wrk's "1.23ms" in milliseconds. */
function milliseconds(text: string | undefined): number {
  const [, value, unit = ''] = /^([\d.]+)(us|ms|s)$/.exec(text ?? '') ?? [];
  return Number(value) * (UNITS[unit] ?? Number.NaN);
}

/** wrk's script for a request with a small body. */
const POST = 'wrk.method = "POST"\nwrk.body = string.rep("x", 100)\n';

async function measure({ port, router, cell }: Chain, { script, headers = [] }: Load): Promise<Figures> {
  const before = [processorTime(router()), processorTime(cell())] as const;
  const url = `https://127.0.0.1:${port}/`;
  const output = await run('wrk', [
    '-t2',
    `-c${CONNECTIONS}`,
    `-d${SECONDS}s`,
    '--latency',
    ...[`Host: ${HOST}`, ...headers].flatMap((header) => ['-H', header]),
    ...(script === undefined ? [] : ['-s', script]),
    url,
  ]);
  const field = (pattern: RegExp) => pattern.exec(output)?.[1];
  const requests = Number(field(/(\d+) requests in/));
  return {
    requestsPerSecond: Number(field(/Requests\/sec:\s+([\d.]+)/)),
    p50: milliseconds(field(/^\s+50%\s+(\S+)/m)),
    p99: milliseconds(field(/^\s+99%\s+(\S+)/m)),
    errors: field(/(Non-2xx[^\n]*|Socket errors[^\n]*)/) ?? 'none',
    router: (processorTime(router()) - before[0]) / requests,
    cell: (processorTime(cell()) - before[1]) / requests,
  };
}

/** Processor time of processes so far, in microseconds; steadier than a rate on a machine that others use too. */
function processorTime(pids: number | readonly number[]): number {
  return [pids].flat().reduce((sum, pid) => sum + processorTimeOf(pid), 0);
}

function processorTimeOf(pid: number): number {
  const nanoseconds = readdirSync(`/proc/${pid}/task`).map((thread) =>
    Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]),
  );
  return nanoseconds.reduce((sum, time) => sum + time, 0) / 1_000;
}

function proportionalMemory(pid: number): number {
  return Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0) / 1024;
}

const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;

/** The chains take turns; the median of each figure. */
async function compare(chains: readonly Chain[], load: Load = {}): Promise<Figures[]> {
  const rounds = chains.map((): Figures[] => []);
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [index, chain] of chains.entries()) rounds[index]!.push(await measure(chain, load));
  }
  return rounds.map((figures, index) => {
    const of = (name: Exclude<keyof Figures, 'errors'>) => median(figures.map((each) => each[name]));
    const errors = figures.map((each) => each.errors).find((text) => text !== 'none') ?? 'none';
    const result: Figures = {
      requestsPerSecond: of('requestsPerSecond'),
      p50: of('p50'),
      p99: of('p99'),
      errors,
      router: of('router'),
      cell: of('cell'),
    };
    console.log(
      [
        chains[index]!.name.padEnd(44),
        `${result.requestsPerSecond.toFixed(0).padStart(7)} req/s`,
        `p50 ${result.p50.toFixed(1).padStart(5)} ms`,
        `p99 ${result.p99.toFixed(1).padStart(5)} ms`,
        `CPU a request: router ${result.router.toFixed(0)} us, cell proxy ${result.cell.toFixed(0)} us`,
        `errors: ${errors}`,
      ].join('  '),
    );
    return result;
  });
}

const path = await startRequestPath({
  firstPort: FIRST_PORT,
  prefix: 'router-bench',
  patienceMs: 300_000,
  changeSettings: (settings) => ({ ...settings, threads: THREADS, maxConnections: 4000, poolSize: 2000 }),
});
const directory = path.settings.runDirectory.replace(/\/router$/, '');
const { certificates } = path.settings;
const own: TestHaproxy[] = [];

async function startBare(name: string, text: string): Promise<TestHaproxy> {
  const config = join(directory, `router/${name}.cfg`);
  const socket = join(directory, `sockets/${name}.sock`);
  await writeFile(config, `global\n  stats socket ${socket} mode 600 level admin\n${text}`, { mode: 0o644 });
  const engine = await startHaproxy(config, socket);
  own.push(engine);
  return engine;
}

const TIMEOUTS = '  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n';
const SUITES = ['bind', 'server']
  .map(
    (side) =>
      `  ssl-default-${side}-ciphers ${CIPHER_SUITES_TLS12.join(':')}\n  ssl-default-${side}-ciphersuites ${CIPHER_SUITES_TLS13.join(':')}\n`,
  )
  .join('');

/** Router and cell proxy with nothing but TLS on the same hops: one server, no map, no header, no log. */
async function startBareChain(instance: { cert: string; key: string }): Promise<Chain> {
  await mkdir(join(directory, 'router'), { recursive: true });
  const certificate = await path.pem('bare-instance.pem', instance);
  const cell = await startBare(
    'bare-cell',
    `  nbthread ${THREADS}
${SUITES}defaults
  mode tcp
${TIMEOUTS}frontend cell
  bind 127.0.0.1:${FIRST_PORT + 6} ssl crt ${certificate} ca-file ${certificates.platformCa} verify required
  default_backend app
backend app
  server app 127.0.0.1:${APP_PORT}
`,
  );
  bareCell = cell;
  const router = await startBare(
    'bare-router',
    `  nbthread ${THREADS}
${SUITES}defaults
  mode http
${TIMEOUTS}frontend https
  bind 127.0.0.1:${FIRST_PORT + 7} ssl crt ${certificates.front} alpn h2,http/1.1
  default_backend cell
backend cell
  http-reuse always
  server cell 127.0.0.1:${FIRST_PORT + 6} ssl crt ${certificates.client} ca-file ${certificates.instanceCa} verify required verifyhost inst-bench sni str(inst-bench)
`,
  );
  return { name: 'bare engines, same hops', port: FIRST_PORT + 7, router: () => router.pid, cell: () => cell.pid };
}

/** nginx in the place of the router, before the bare cell proxy; null where there is none. */
async function startNginx(): Promise<Chain | null> {
  if (
    !(await run('nginx', ['-v']).then(
      () => true,
      () => false,
    ))
  )
    return null;
  const config = join(directory, 'router/nginx.conf');
  const port = FIRST_PORT + 9;
  await writeFile(
    config,
    `worker_processes ${THREADS};
daemon off;
pid ${directory}/nginx.pid;
error_log ${directory}/nginx.log;
events { worker_connections 4000; }
http {
  access_log off;
${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `  ${name}_temp_path ${directory}/nginx-${name};\n`).join('')}  upstream cell { server 127.0.0.1:${FIRST_PORT + 6}; keepalive ${CONNECTIONS}; keepalive_requests 1000000; }
  server {
    listen 127.0.0.1:${port} ssl http2;
    ssl_certificate ${certificates.front};
    ssl_certificate_key ${certificates.front};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_ciphers ${CIPHER_SUITES_TLS12.join(':')};
    ssl_conf_command Ciphersuites ${CIPHER_SUITES_TLS13.join(':')};
    ssl_session_cache shared:sessions:10m;
    keepalive_requests 1000000;
    location / {
      proxy_pass https://cell;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_ssl_certificate ${certificates.client};
      proxy_ssl_certificate_key ${certificates.client};
      proxy_ssl_trusted_certificate ${certificates.instanceCa};
      proxy_ssl_verify on;
      proxy_ssl_verify_depth 3;
      proxy_ssl_name inst-bench;
      proxy_ssl_server_name on;
    }
  }
}
`,
  );
  const started = spawn('nginx', ['-c', config, '-p', directory], { stdio: 'ignore' });
  nginxProcess = started;
  await sleep(1_000);
  const workers = readFileSync(`/proc/${started.pid}/task/${started.pid}/children`, 'utf8')
    .trim()
    .split(' ')
    .map(Number);
  return { name: 'nginx in the place of the router', port, router: () => workers, cell: () => bareCell!.pid };
}

let bareCell: TestHaproxy | undefined;
let nginxProcess: ChildProcess | undefined;
try {
  // The app is an HAProxy too, so that the chain is what is measured.
  await startBare(
    'app',
    `  nbthread 1
defaults
  mode http
  timeout client 30s
frontend app
  bind 127.0.0.1:${APP_PORT}
  http-request return status 200 content-type text/plain string ${'x'.repeat(100)}
`,
  );
  await path.registerInstance('inst-bench', APP_PORT);
  const entry = (host: string) => ({ host, instances: [{ guid: 'inst-bench', index: 0 }] });
  const filler = (count: number) => Array.from({ length: count }, (_, index) => entry(`app-${index}.cupola.test`));
  const bare = await startBareChain(await path.pki.instance('inst-bench'));
  const nginx = await startNginx();
  const platform = (name: string): Chain => ({
    name,
    port: path.httpsPort,
    router: () => path.engines.router.pid,
    cell: () => path.engines.cell.pid,
  });

  console.log(
    `router with ${path.settings.poolSize} empty backends: ${proportionalMemory(path.engines.router.pid).toFixed(1)} MB`,
  );
  const ratios: string[] = [];
  for (const count of [10, 10_000, 100_000]) {
    const started = Date.now();
    await path.setRoutes(entry(HOST), ...filler(count - 1));
    console.log(`\n${count} routes were in place after ${Date.now() - started} ms`);
    const [alone, chain] = await compare([bare, platform(`platform, ${count} routes`)]);
    ratios.push(
      `${count} routes: ${(chain!.requestsPerSecond / alone!.requestsPerSecond).toFixed(2)} of bare requests/s, ` +
        `p99 ${(chain!.p99 / alone!.p99).toFixed(2)} times, CPU ${((chain!.router + chain!.cell) / (alone!.router + alone!.cell)).toFixed(2)} times`,
    );
  }
  const script = join(directory, 'post.lua');
  await writeFile(script, POST);
  const [alone, posts] = await compare([bare, platform('platform, POST of 100 bytes')], { script });
  ratios.push(`POST: ${(posts!.requestsPerSecond / alone!.requestsPerSecond).toFixed(2)} of bare requests/s`);
  const others = nginx === null ? [] : [nginx];
  const [fresh, ours, theirs] = await compare(
    [bare, platform('platform, a connection each'), ...others],
    NEW_CONNECTIONS,
  );
  for (const [name, other] of [['bare engines', fresh!] as const, ...(theirs ? [['nginx', theirs] as const] : [])])
    ratios.push(
      `a connection each: ${(ours!.requestsPerSecond / other.requestsPerSecond).toFixed(2)} of the requests/s of ${name}, ` +
        `CPU of the router ${(ours!.router / other.router).toFixed(2)} times`,
    );
  await path.until('the access log', () => path.router.status().accessLog.queued === 0, 60_000);
  console.log(`\naccess log: ${path.envelopes.length} envelopes, ${JSON.stringify(path.router.status().accessLog)}`);
  for (const ratio of ratios) console.log(ratio);

  for (const what of ['with 100000 routes in its files']) {
    await path.stopDriver();
    await path.engines.router.kill('SIGKILL');
    const started = performance.now();
    await path.restartRouterProxy();
    const ms = (performance.now() - started).toFixed(0);
    console.log(
      `killed router answers again, ${what}: ${ms} ms, ${proportionalMemory(path.engines.router.pid).toFixed(1)} MB`,
    );
  }
  console.log(`machine: ${THREADS} cores, load ${execFileSync('cat', ['/proc/loadavg']).toString().trim()}`);
} finally {
  nginxProcess?.kill();
  for (const engine of own) await engine.kill('SIGKILL');
  await path.close();
}
