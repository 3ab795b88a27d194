/**
 * Client-credential tokens a second: `node bench/uaa-tokens.ts [seconds]`. UAA runs here on a PostgreSQL of its own
 * (needs root); wrk, in a process of its own, asks for tokens over plain HTTP on 32 kept connections. The goal is
 * 1,500/s on 2 cores. The peer's 250/s is the figure stated in the design; it was not measured here.
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Sealer } from '../src/kit/crypto.ts';
import { run } from '../src/kit/process.ts';
import type { UaaSchema } from '../src/uaa/schema.ts';
import { cloudControllerClient, createUaa } from '../src/uaa/uaa.ts';
import { silentLog, startTestPostgresql } from '../test/support/postgresql.ts';

const PEER = 250;
const seconds = Number(process.argv[2] ?? 5);
const secret = randomBytes(24).toString('base64url');

const postgresql = await startTestPostgresql(['uaa']);
const directory = mkdtempSync('/tmp/cupola-bench-');
try {
  const uaa = createUaa({
    db: postgresql.open<UaaSchema>('uaa'),
    sealer: new Sealer([{ label: 'bench', key: randomBytes(32) }]),
    log: silentLog,
    urls: { uaa: 'https://uaa.example.test', login: 'https://login.example.test' },
    bootstrap: { clients: [cloudControllerClient({ secret })] },
  });
  await uaa.start();
  const server = createServer(uaa.handler);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;

  const script = join(directory, 'token.lua');
  writeFileSync(
    script,
    `wrk.method = "POST"
wrk.body = "grant_type=client_credentials"
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
wrk.headers["Authorization"] = "Basic ${Buffer.from(`cloud_controller:${secret}`).toString('base64')}"
`,
    { mode: 0o600 },
  );
  const measure = (duration: number) =>
    run('wrk', ['-t1', '-c32', `-d${duration}s`, '--latency', '-s', script, `http://127.0.0.1:${port}/oauth/token`]);
  await measure(1);
  const output = await measure(seconds);
  const rate = Number(/Requests\/sec:\s+([\d.]+)/.exec(output)?.[1]);
  const p99 = /99%\s+(\S+)/.exec(output)?.[1];
  const errors = /Non-2xx or 3xx responses: (\d+)/.exec(output)?.[1] ?? '0';
  process.stdout.write(
    `client-credential tokens: ${Math.round(rate)}/s, p99 ${p99}, ${errors} errors, ${(rate / PEER).toFixed(1)} times the stated figure of the peer\n`,
  );
  await uaa.close();
  server.closeAllConnections();
  server.close();
} finally {
  rmSync(directory, { recursive: true, force: true });
  await postgresql.stop();
}
