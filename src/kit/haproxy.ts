import { connect } from 'node:net';
import { classOf } from './engine-words.ts';
import { CupolaError, messageOf } from './errors.ts';
import { withOwnSocket } from './owned-files.ts';
import { boundedText } from './streams.ts';

/** A server as it runs: what `show servers state` says of it. */
export interface RunningServer {
  backend: string;
  name: string;
  address: string;
  port: number;
  /** Takes no new requests. */
  inMaintenance: boolean;
}

/**
 * Seconds that what HAProxy carries may be silent. The front of clients judges them, and the last HAProxy before who answers judges
 * that one: these can say what happened. All others on the way have "transit", so that none of them cuts off what its judge allows.
 */
export interface IdleTimes {
  /** Who was asked says nothing. */
  answer: number;
  /** Neither side of a websocket or of an SSH session does. */
  tunnel: number;
}

export const IDLE: IdleTimes = { answer: 900, tunnel: 3_600 };

/** The status of a request that nobody has begun (RFC 8470, 5.2), of a cell proxy and between the router's halves. */
export const UNANSWERED = 425;

/** Longer than any judge waits. */
export function transitSeconds({ answer, tunnel }: IdleTimes = IDLE): number {
  return Math.max(answer, tunnel) + 60;
}

/** Bytes of payload HAProxy takes at once; it must fit its buffer (tune.bufsize, 16 kB by default). */
const PAYLOAD_BYTES = 12_000;
/** Of commands that each answer with a list of servers: that one answer is not read for long. */
const SERVER_LISTS_BYTES = 3_000;
/** Several times the certificates, or the instances, of a full cell. */
const ANSWER_BYTES = 4 * 1_048_576;

const NO_BACKEND = "Can't find backend.";

/** What an answer may take, whoever gives it: in whole, not between two pieces. */
export interface AnswerBounds {
  timeoutMs?: number;
  mostBytes?: number;
}

/**
 * HAProxy's runtime API on its stats socket (management guide, section 9.3), one connection a command. Who asks may be root, and HAProxy
 * be broken into: no other socket is spoken to that its account could lead to, and an answer has an end.
 */
export class HaproxySocket {
  readonly #path: string;
  readonly #bounds: Required<AnswerBounds>;

  constructor(path: string, { timeoutMs = 10_000, mostBytes = ANSWER_BYTES }: AnswerBounds = {}) {
    this.#path = path;
    this.#bounds = { timeoutMs, mostBytes };
  }

  /**
   * Sends one line (commands separated by ";", optionally a payload after "<<") and gives the answer, trimmed.
   * Throws `haproxy_unreachable` where nobody listens, somebody else's socket lies there, or the answer is too late or too long.
   */
  async ask(command: string): Promise<string> {
    try {
      return await withOwnSocket(this.#path, async (path) => {
        const socket = connect(path);
        socket.write(`${command}\n`);
        return (await boundedText(socket, this.#bounds)).trim();
      });
    } catch (cause) {
      throw new CupolaError('haproxy_unreachable', `HAProxy does not answer: ${messageOf(cause)}`, { cause });
    }
  }

  /** Sends a command that answers nothing, or one of `answers`, when it succeeded; throws `haproxy_refused` otherwise. */
  async tell(command: string, ...answers: RegExp[]): Promise<string> {
    const answer = await this.ask(command);
    if (answer === '' || answers.some((expected) => expected.test(answer))) return answer;
    // The command itself may carry a key, and the answer repeat it: the first words and the kind say enough.
    const words = command.split('\n', 1)[0]!.split(' ').slice(0, 4).join(' ');
    throw new CupolaError('haproxy_refused', `HAProxy refused "${words}": ${classOf(answer)}`);
  }

  /** Which process answers. A restarted HAProxy has another one. */
  async process(): Promise<string> {
    const info = await this.ask('show info');
    const pid = /^Pid: (\d+)$/m.exec(info)?.[1];
    const start = /^Start_time_sec: (\d+)$/m.exec(info)?.[1] ?? '';
    if (!pid) throw new CupolaError('haproxy_refused', 'HAProxy did not say which process it is');
    return `${pid}/${start}`;
  }

  /** The servers of these backends; none of one that HAProxy does not have. */
  async servers(backends: Iterable<string>): Promise<RunningServer[]> {
    const servers: RunningServer[] = [];
    for (const commands of inPieces(backends, (backend) => `show servers state ${backend}`, SERVER_LISTS_BYTES))
      servers.push(...readServers(await this.ask(commands.join(';'))));
    return servers;
  }

  /** Replaces a map's entries in one step: whoever looks it up sees the old ones or the new ones, never a mixture. */
  async replaceMap(path: string, entries: Iterable<readonly [string, string]>): Promise<void> {
    const prepared = await this.tell(`prepare map ${path}`, /^New version created: \d+$/);
    const version = /(\d+)$/.exec(prepared)![1]!;
    await this.addToMap(`@${version} ${path}`, entries);
    await this.tell(`commit map @${version} ${path}`);
  }

  /** Adds entries to a map as it is in use. One whose key is there already would be there twice. */
  async addToMap(path: string, entries: Iterable<readonly [string, string]>): Promise<void> {
    for (const lines of inPieces(entries, ([key, value]) => `${key} ${value}\n`, PAYLOAD_BYTES))
      await this.tell(`add map ${path} <<\n${lines.join('')}`);
  }

  /**
   * Gives entries of a map other values, and removes those whose value is null. Throws `haproxy_refused` where one is not there. HAProxy
   * 2.6 looks through the whole map for each of them.
   */
  async changeInMap(path: string, entries: Iterable<readonly [string, string | null]>): Promise<void> {
    const command = ([key, value]: readonly [string, string | null]) => {
      const word = key.replaceAll(';', '\\;'); // else it would end the command
      return value === null ? `del map ${path} ${word}` : `set map ${path} ${word} ${value}`;
    };
    for (const commands of inPieces(entries, command, PAYLOAD_BYTES)) await this.tell(commands.join(';'));
  }

  /**
   * Puts a certificate chain with its key in the place of the one loaded from `file`, for listeners and servers alike. Handshakes
   * find the old or the new one; what is open stays. Does nothing to the file.
   */
  replaceCertificate(file: string, pem: string): Promise<void> {
    return this.#replaceTls('cert', file, pem);
  }

  /** The same under a name that may be new: no listener serves it before it is in a list of certificates. */
  async loadCertificate(file: string, pem: string): Promise<void> {
    await this.tell(`new ssl cert ${file}`, /^New empty certificate store/, /already exists/);
    await this.replaceCertificate(file, pem);
  }

  /** As `replaceCertificate`, for a file of trusted roots. */
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

  /** SHA-1 fingerprints of the roots in use that were loaded from `file`, sorted. */
  async authorities(file: string): Promise<string[]> {
    const answer = await this.ask(`show ssl ca-file ${file}`);
    return [...answer.matchAll(/^SHA1 FingerPrint: ([0-9A-F]+)$/gm)].map(([, fingerprint]) => fingerprint!).sort();
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

/** What `show servers state` says, several times after the other. Each begins with its version and the names of its columns. */
function readServers(answer: string): RunningServer[] {
  let column = new Map<string, number>();
  return answer.split('\n').flatMap((line) => {
    const fields = line.split(' ');
    if (line === '' || line === '1' || line === NO_BACKEND) return [];
    if (fields[0] === '#') {
      column = new Map(fields.slice(1).map((name, at) => [name, at]));
      return [];
    }
    const field = (name: string) => fields[column.get(name) ?? Number.NaN];
    const [backend, name, address] = [field('be_name'), field('srv_name'), field('srv_addr')];
    if (backend === undefined || name === undefined || address === undefined)
      throw new CupolaError('haproxy_refused', `HAProxy did not list its servers: ${classOf(line)}`);
    const inMaintenance = (Number(field('srv_admin_state')) & 0x01) !== 0; // SRV_ADMF_FMAINT
    return [{ backend, name, address, port: Number(field('srv_port')), inMaintenance }];
  });
}

/** Some of the texts after the other, until they have this many bytes. */
function* inPieces<Item>(items: Iterable<Item>, textOf: (item: Item) => string, most: number): Generator<string[]> {
  let piece: string[] = [];
  let bytes = 0;
  for (const item of items) {
    const text = textOf(item);
    piece.push(text);
    bytes += text.length;
    if (bytes <= most) continue;
    yield piece;
    piece = [];
    bytes = 0;
  }
  if (piece.length > 0) yield piece;
}

/** Connections HAProxy may hold with `descriptors` open files: two a connection, and room for the rest of it. */
export function maxConnectionsFor(descriptors: number): number {
  return Math.max(100, Math.floor((descriptors - 200) / 2.2));
}
