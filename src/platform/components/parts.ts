import type { Logger } from '../../kit/log.ts';
import type { ComponentCertificates } from '../certificates.ts';
import type { Accounts } from '../host/accounts.ts';
import type { Layout } from '../layout.ts';
import type { Listeners } from '../listeners.ts';
import type { Secrets } from '../secrets.ts';

/** What components are made of. */
export interface Parts {
  layout: Layout;
  /** Digest of the code. */
  program: string;
  /** The image that engines are started from, by its name. */
  engines: string;
  /** Its tree; null: engines are the machine's. */
  engineRoot: string | null;
  accounts: Accounts;
  /** As they are now: roots change while components run. */
  secrets: () => Secrets;
  certificates: ComponentCertificates;
  listeners: Listeners;
  /** The engines run, or could not be started at once. What needs them loads its code meanwhile. */
  enginesRun: Promise<void>;
  /** A process that was started ended. */
  onExit: () => void;
  /** This component ended of an error that nobody caught. */
  onFault: (name: string) => void;
  log: Logger;
}
