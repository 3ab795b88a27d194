// Requests through the whole TLS chain (HTTPS → router → mutual TLS → cell proxy → app) beside one engine alone.
// Run: node bench/router-chain.ts [seconds, default 4]. Needs wrk. Backend, engines and client share the machine's cores.
import { accessSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { run } from '../src/kit/process.ts';
import { startHaproxy } from '../test/support/haproxy.ts';
import { startRequestPath } from '../test/support/request-path.ts';

const SECONDS = Number(process.argv[2] ?? 4);
const CONNECTIONS = 64;
const FIRST_PORT = 21900;

interface Figures {
  requestsPerSecond: number;
  p50: string;
  p99: string;
  errors: string;
}

async function measure(url: string, host: string): Promise<Figures> {
  const output = await run('wrk', [
    '-t2',
    `-c${CONNECTIONS}`,
    `-d${SECONDS}s`,
    '--latency',
    '-H',
    `Host: ${host}`,
    url,
  ]);
  const field = (pattern: RegExp) => pattern.exec(output)?.[1] ?? '?';
  return {
    requestsPerSecond: Number(field(/Requests\/sec:\s+([\d.]+)/)),
    p50: field(/^\s+50%\s+(\S+)/m),
    p99: field(/^\s+99%\s+(\S+)/m),
    errors: /(Non-2xx[^\n]*|Socket errors[^\n]*)/.exec(output)?.[1] ?? 'none',
  };
}

function print(name: string, { requestsPerSecond, p50, p99, errors }: Figures): void {
  console.log(
    `${name.padEnd(58)} ${requestsPerSecond.toFixed(0).padStart(8)} req/s   p50 ${p50.padStart(8)}   p99 ${p99.padStart(8)}   errors: ${errors}`,
  );
}

/** Processor time of a process so far, in microseconds; steadier than a rate on a machine that others use too. */
function processorTime(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10_000; // USER_HZ is 100
}

function installed(path: string): boolean {
  try {
    accessSync(path);
    return true;
  } catch {
    return false;
  }
}

/** One engine answering HTTPS by itself, with the chain's certificate: the machine's measure. */
async function startPeer(
  front: string,
  directory: string,
): Promise<{ name: string; hop?: number; stop(): Promise<void> }> {
  const socket = join(directory, 'sockets/peer.sock');
  const config = join(directory, 'router/peer.cfg');
  if (installed('/usr/sbin/nginx')) {
    await writeFile(
      config,
      `daemon off; worker_processes ${availableParallelism()}; pid ${directory}/peer.pid; error_log /dev/null;
events {} http { access_log off; server { listen 127.0.0.1:${FIRST_PORT + 9} ssl; ssl_certificate ${front};
ssl_certificate_key ${front}; location / { return 200 "${'x'.repeat(100)}"; } } }`,
    );
    const { spawn } = await import('node:child_process');
    const child = spawn('/usr/sbin/nginx', ['-c', config], { stdio: 'inherit' });
    await new Promise((resolve) => setTimeout(resolve, 300));
    return {
      name: 'nginx alone, HTTPS',
      stop: async () => {
        child.kill();
      },
    };
  }
  console.log('nginx is not installed: the comparison is with HAProxy alone, answering HTTPS by itself.');
  await writeFile(
    config,
    `global
  nbthread ${availableParallelism()}
  stats socket ${socket} mode 600 level admin
defaults
  mode http
  timeout client 10s
frontend peer
  bind 127.0.0.1:${FIRST_PORT + 9} ssl crt ${front}
  http-request return status 200 content-type text/plain string ${'x'.repeat(100)}
frontend hop
  bind 127.0.0.1:${FIRST_PORT + 7} ssl crt ${front}
  default_backend app
backend app
  timeout connect 5s
  timeout server 10s
  http-reuse always
  server app 127.0.0.1:${FIRST_PORT + 8}
`,
  );
  const peer = await startHaproxy(config, socket);
  return { name: 'HAProxy alone, HTTPS, no backend', hop: FIRST_PORT + 7, stop: () => peer.kill('SIGKILL') };
}

const path = await startRequestPath({
  firstPort: FIRST_PORT,
  prefix: 'router-bench',
  changeSettings: (settings) => ({ ...settings, threads: availableParallelism(), maxConnections: 4000 }),
});
const directory = path.settings.runDirectory.replace(/\/router$/, '');
try {
  // The app is an HAProxy too, so that the chain is what is measured.
  const appConfig = join(directory, 'router/app.cfg');
  const appSocket = join(directory, 'sockets/app.sock');
  await writeFile(
    appConfig,
    `global
  nbthread 1
  stats socket ${appSocket} mode 600 level admin
defaults
  mode http
  timeout client 30s
frontend app
  bind 127.0.0.1:${FIRST_PORT + 8}
  http-request return status 200 content-type text/plain string ${'x'.repeat(100)}
`,
  );
  const app = await startHaproxy(appConfig, appSocket);
  await path.registerInstance('inst-bench', FIRST_PORT + 8);
  const entry = (host: string) => ({ host, instances: [{ guid: 'inst-bench', index: 0 }] });
  const bench = entry('bench.cupola.test');
  const url = (port: number) => `https://127.0.0.1:${port}/`;

  await path.setRoutes(bench);
  const peer = await startPeer(path.settings.certificates.front, directory);
  const alone = await measure(url(FIRST_PORT + 9), 'bench.cupola.test');
  print(peer.name, alone);
  const hop = peer.hop && (await measure(url(peer.hop), 'bench.cupola.test'));
  if (hop) print('one bare HAProxy as proxy: HTTPS → app in the clear', hop);
  await peer.stop();
  const direct = await measure(`http://127.0.0.1:${FIRST_PORT + 8}/`, 'bench.cupola.test');
  print('the app alone, plain HTTP', direct);
  const measureChain = async () => {
    const { router, cell } = path.engines;
    const before = [processorTime(router.pid), processorTime(cell.pid)] as const;
    const figures = await measure(url(path.httpsPort), 'bench.cupola.test');
    const requests = figures.requestsPerSecond * SECONDS;
    const microseconds = (pid: number, start: number) => ((processorTime(pid) - start) / requests).toFixed(0);
    const cpu = `router ${microseconds(router.pid, before[0])} us, cell proxy ${microseconds(cell.pid, before[1])} us of CPU a request`;
    return { ...figures, cpu };
  };
  const chain = await measureChain();
  print('HTTPS → router → mutual TLS → cell proxy → app, 1 route', chain);
  console.log(`  ${chain.cpu}`);

  const MANY = 10_000;
  const started = Date.now();
  await path.setRoutes(bench, ...Array.from({ length: MANY }, (_, index) => entry(`app-${index}.cupola.test`)));
  console.log(`${MANY} routes more were in place after ${Date.now() - started} ms`);
  const many = await measureChain();
  print(`the same with ${MANY + 1} routes`, many);
  console.log(`  ${many.cpu}`);

  await path.until('the access log', () => path.router.status().accessLog.queued === 0, 20_000);
  console.log(`access log: ${path.envelopes.length} envelopes, ${JSON.stringify(path.router.status().accessLog)}`);
  console.log(`ratio chain / ${peer.name}: ${(chain.requestsPerSecond / alone.requestsPerSecond).toFixed(2)}`);
  if (hop)
    console.log(`ratio chain / one bare HAProxy: ${(chain.requestsPerSecond / hop.requestsPerSecond).toFixed(2)}`);
  console.log(`ratio many routes / one route: ${(many.requestsPerSecond / chain.requestsPerSecond).toFixed(2)}`);
  await app.kill('SIGKILL');
} finally {
  await path.close();
}
