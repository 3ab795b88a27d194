import type { ProcessIdentity } from '../../kit/process.ts';
import type { Account } from '../account.ts';
import type { Found } from '../engines/haproxy.ts';

/** A process the supervisor keeps alive. */
export interface Component {
  name: string;
  account: Account | null;
  /** Starts it anew; what it needs is written first. */
  start(): Promise<ProcessIdentity>;
  /** The signal that ends it in order. */
  stopSignal: NodeJS.Signals;
  /** Digest of what it is started from: program, arguments, configuration; no secret and no certificate. */
  fingerprint(): string;
  /** Brings a running process to what it would be started from now without a gap. Without it: an end and a start. */
  takeOver?(running: ProcessIdentity): Promise<ProcessIdentity>;
  /**
   * Gives a running process new certificates and the roots that are trusted now, and gives the process that has them: the same,
   * or one that took over. Throws where it did not take them.
   */
  renew?(running: ProcessIdentity): Promise<ProcessIdentity>;
  /** Tells a running process what changed of the machine. Called again and again. */
  follow?(running: ProcessIdentity): Promise<void>;
  /**
   * Which of its processes serves, where a start or a take-over that was cut off may have left another than was written down.
   * `settled` ones are past their start. Without it: the one that was written down.
   */
  find?(settled: readonly ProcessIdentity[]): Promise<Found>;
  /** All of them, whether or not they were written down. */
  processes?(): ProcessIdentity[];
  /** For a supervisor of code that does not find them, and starts others at the same sockets: they finish what they have. */
  makeWay?(): void;
  /** What was started is not what it should be yet, since there is more to do than a start: a replacement does it. */
  isBehind?(): boolean;
  /** It is replaced after all others. */
  replacedLast?: boolean;
  /** What was replaced is well: there is no way back from here on. Until it is called, also by a later supervisor, the component is outdated. */
  settle?(): Promise<void>;
  /** What this component replaced is not well: brings back what there was. Not after `settle`. */
  goBack?(): Promise<ProcessIdentity>;
  /** A supervisor of other code, with this main file, takes over next. Throws where that would not find what it needs. */
  yieldTo?(main: string): Promise<void>;
  /** It keeps connections to these, and must be replaced after them, or those end in the middle of a request. */
  after?: readonly string[];
}
