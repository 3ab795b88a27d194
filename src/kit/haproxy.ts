import { connect } from 'node:net';
import { CupolaError } from './errors.ts';

/** A server as it runs: what `show servers state` says of it. */
export interface RunningServer {
  backend: string;
  name: string;
  address: string;
  port: number;
  /** Takes no new requests. */
  inMaintenance: boolean;
}

/** Bytes of payload HAProxy takes at once; it must fit its buffer (tune.bufsize, 16 kB by default). */
const PAYLOAD_BYTES = 12_000;

/** HAProxy's runtime API on its stats socket (management guide, section 9.3), one connection a command. */
export class HaproxySocket {
  readonly #path: string;
  readonly #timeoutMs: number;

  constructor(path: string, timeoutMs = 10_000) {
    this.#path = path;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Sends one line (commands separated by ";", optionally a payload after "<<") and gives the answer, trimmed.
   * Throws `haproxy_unreachable` where nobody listens or the answer does not come in time.
   */
  ask(command: string): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const socket = connect(this.#path);
    const chunks: Buffer[] = [];
    socket.setTimeout(this.#timeoutMs, () => socket.destroy(new Error('no answer in time')));
    socket.on('connect', () => socket.write(`${command}\n`));
    socket.on('data', (chunk) => chunks.push(Buffer.from(chunk)));
    socket.on('end', () => {
      socket.destroy();
      resolve(Buffer.concat(chunks).toString('utf8').trim());
    });
    socket.on('error', (cause) =>
      reject(new CupolaError('haproxy_unreachable', `HAProxy does not answer: ${cause.message}`, { cause })),
    );
    return promise;
  }

  /** Sends a command that answers nothing, or one of `answers`, when it succeeded; throws `haproxy_refused` otherwise. */
  async tell(command: string, ...answers: RegExp[]): Promise<string> {
    const answer = await this.ask(command);
    if (answer === '' || answers.some((expected) => expected.test(answer))) return answer;
    // The command itself may carry a key; its first words say enough.
    const words = command.split('\n', 1)[0]!.split(' ').slice(0, 4).join(' ');
    throw new CupolaError('haproxy_refused', `HAProxy refused "${words}": ${answer.slice(0, 500)}`);
  }

  /** Which process answers. A restarted HAProxy has another one. */
  async process(): Promise<string> {
    const info = await this.ask('show info');
    const pid = /^Pid: (\d+)$/m.exec(info)?.[1];
    const start = /^Start_time_sec: (\d+)$/m.exec(info)?.[1] ?? '';
    if (!pid) throw new CupolaError('haproxy_refused', 'HAProxy did not say which process it is');
    return `${pid}/${start}`;
  }

  /** Every server of every backend, in one answer. */
  async servers(): Promise<RunningServer[]> {
    const answer = await this.ask('show servers state');
    const [, header = '', ...lines] = answer.split('\n');
    const columns = header.replace(/^# /, '').split(' ');
    const column = (name: string) => columns.indexOf(name);
    const backend = column('be_name');
    const name = column('srv_name');
    const address = column('srv_addr');
    const port = column('srv_port');
    const state = column('srv_admin_state');
    return lines.filter(Boolean).map((line) => {
      const fields = line.split(' ');
      return {
        backend: fields[backend]!,
        name: fields[name]!,
        address: fields[address]!,
        port: Number(fields[port]),
        inMaintenance: (Number(fields[state]) & 0x01) !== 0, // SRV_ADMF_FMAINT
      };
    });
  }

  /** Replaces a map's entries in one step: whoever looks it up sees the old ones or the new ones, never a mixture. */
  async replaceMap(path: string, entries: Iterable<readonly [string, string]>): Promise<void> {
    const prepared = await this.tell(`prepare map ${path}`, /^New version created: \d+$/);
    const version = /(\d+)$/.exec(prepared)![1]!;
    let payload = '';
    const flush = async () => {
      if (payload) await this.tell(`add map @${version} ${path} <<\n${payload}`);
      payload = '';
    };
    for (const [key, value] of entries) {
      payload += `${key} ${value}\n`;
      if (payload.length > PAYLOAD_BYTES) await flush();
    }
    await flush();
    await this.tell(`commit map @${version} ${path}`);
  }

  /**
   * Puts a certificate chain with its key in the place of the one loaded from `file`, for listeners and servers alike. Handshakes
   * find the old or the new one; what is open stays. Does nothing to the file.
   */
  replaceCertificate(file: string, pem: string): Promise<void> {
    return this.#replaceTls('cert', file, pem);
  }

  /** The same for a file of trusted roots. */
  replaceAuthorities(file: string, pem: string): Promise<void> {
    return this.#replaceTls('ca-file', file, pem);
  }

  async #replaceTls(kind: 'cert' | 'ca-file', file: string, pem: string): Promise<void> {
    // An empty line would end the payload.
    const payload = pem.split('\n').filter(Boolean).join('\n');
    await this.tell(`set ssl ${kind} ${file} <<\n${payload}\n`, /transaction (created|updated) for/i);
    try {
      await this.tell(`commit ssl ${kind} ${file}`, /Success!$/);
    } catch (error) {
      await this.ask(`abort ssl ${kind} ${file}`);
      throw error;
    }
  }

  /** The entries of a map as they are in use. */
  async map(path: string): Promise<Map<string, string>> {
    const answer = await this.ask(`show map ${path}`);
    if (/^Unknown map/.test(answer)) throw new CupolaError('haproxy_refused', `HAProxy has no map ${path}`);
    return new Map(
      answer
        .split('\n')
        .filter(Boolean)
        .map((line) => {
          const [, key, ...value] = line.split(' ');
          return [key!, value.join(' ')];
        }),
    );
  }
}

/** Connections HAProxy may hold with `descriptors` open files: two a connection, and room for the rest of it. */
export function maxConnectionsFor(descriptors: number): number {
  return Math.max(100, Math.floor((descriptors - 200) / 2.2));
}
