import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { run } from '../../src/kit/process.ts';

/** A machine beyond the host: a network namespace with TCP listeners on `ports`, and a UDP one on 8003. */
export interface Outside {
  address: string;
  /** TCP connections it accepted so far. */
  accepted(): number;
  /** Texts of the datagrams that came to port 8003. */
  received(): string[];
  stop(): Promise<void>;
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
  const stop = async () => {
    if (server?.exitCode === null) {
      const gone = new Promise((resolve) => server?.once('exit', resolve));
      server.kill('SIGKILL'); // its sockets keep the namespace, and the link, alive
      await gone;
    }
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
    const ready = Promise.withResolvers<void>();
    createInterface({ input: server.stdout! }).on('line', (line) => {
      lines.push(line);
      if (line === 'ready') ready.resolve();
    });
    await ready.promise;
    return {
      address,
      accepted: () => lines.filter((line) => line === 'tcp').length,
      received: () => lines.filter((line) => line.startsWith('udp ')).map((line) => line.slice(4)),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
