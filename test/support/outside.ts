import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { run } from '../../src/kit/process.ts';

/** A machine beyond the host: a network namespace with TCP listeners on `ports`, and a UDP one on 8003. */
export interface Outside {
  address: string;
  /** TCP connections it accepted so far. */
  accepted(): number;
  /** "open", "refused" or "silent": a TCP port as this machine sees it. */
  dial(address: string, port: number): Promise<string>;
  /** Texts of the datagrams that came to port 8003. */
  received(): string[];
  stop(): Promise<void>;
}

/** "open", "refused" or "silent": a TCP port as seen by a process that is started with these words before it. */
export async function dialFrom(before: readonly string[], address: string, port: number): Promise<string> {
  const script = `timeout 1 bash -c 'exec 3<>/dev/tcp/${address}/${port}' 2>/dev/null; case $? in 0) echo open;; 124) echo silent;; *) echo refused;; esac`;
  const [command = 'bash', ...args] = [...before, 'bash', '-c', script];
  return (await run(command, args)).trim();
}

const SERVER = `
const net = require('node:net'), dgram = require('node:dgram');
for (const port of JSON.parse(process.argv[1])) net.createServer((s) => { console.log('tcp'); s.on('error', () => {}); s.end('outside') }).listen(port);
const udp = dgram.createSocket('udp4'); udp.on('message', (m) => console.log('udp ' + m.toString().trim())); udp.bind(8003, () => console.log('ready'));
`;

export async function startOutside(
  name: string,
  hostAddress: string,
  address: string,
  ports: number[],
): Promise<Outside> {
  await run('ip', ['netns', 'add', name]);
  let server: ChildProcess | undefined;
  // Where a test's preparation fails nobody stops it.
  const abandon = () => {
    server?.kill('SIGKILL');
    spawnSync('ip', ['link', 'delete', `${name}0`]);
    spawnSync('ip', ['netns', 'delete', name]);
  };
  process.once('exit', abandon);
  const stop = async () => {
    process.off('exit', abandon);
    if (server?.exitCode === null) {
      const gone = new Promise((resolve) => server?.once('exit', resolve));
      server.kill('SIGKILL'); // its sockets keep the namespace, and the link, alive
      await gone;
    }
    // With its namespace the kernel would take it away too, some time later.
    await run('ip', ['link', 'delete', `${name}0`]).catch(() => {}); // the preparation failed before it was made
    await run('ip', ['netns', 'delete', name]);
  };
  try {
    await run('ip', ['-batch', '-'], {
      input: `link add ${name}0 type veth peer name eth0 netns ${name}\naddr add ${hostAddress}/30 dev ${name}0\nlink set ${name}0 up\n`,
    });
    await run('ip', ['-n', name, '-batch', '-'], {
      input: `link set lo up\naddr add ${address}/30 dev eth0\nlink set eth0 up\nroute add default via ${hostAddress}\n`,
    });
    const lines: string[] = [];
    server = spawn('ip', ['netns', 'exec', name, process.execPath, '-e', SERVER, JSON.stringify(ports)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    // A test whose preparation failed waits for nobody.
    server.unref();
    if (server.stdout instanceof Socket) server.stdout.unref();
    const ready = Promise.withResolvers<void>();
    server.once('exit', (code) => ready.reject(new Error(`the server in ${name} ended with ${code}`)));
    createInterface({ input: server.stdout! }).on('line', (line) => {
      lines.push(line);
      if (line === 'ready') ready.resolve();
    });
    await ready.promise;
    return {
      address,
      dial: (to, port) => dialFrom(['ip', 'netns', 'exec', name], to, port),
      accepted: () => lines.filter((line) => line === 'tcp').length,
      received: () => lines.filter((line) => line.startsWith('udp ')).map((line) => line.slice(4)),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
