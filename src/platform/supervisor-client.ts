import { askAdmin } from './admin-socket.ts';
import type { Expiry } from './certificates.ts';
import type { Rotatable, RotationStatus } from './rotation.ts';
import type { Layout } from './settings.ts';
import type { UpdateStatus } from './updates.ts';

/** One process or engine as the supervisor sees it. */
export interface ComponentStatus {
  name: string;
  pid: number | null;
  state: 'running' | 'starting' | 'stopped';
  restarts: number;
  account: string;
}

export interface PlatformStatus {
  /** Everything runs and the API answers. */
  ready: boolean;
  api: string;
  components: ComponentStatus[];
  certificates: Expiry[];
  cells: { id: string; lastSeen: string | null }[];
  /** Which code decides: where it lies, its digest, and the Node.js it runs on. */
  supervisor: { pid: number; project: string; program: string; node: string };
  update: UpdateStatus;
  /** Null while no roots are on their way in or out. */
  rotation: RotationStatus | null;
}

/** One cell as Diego sees it. */
export interface CellStatus {
  id: string;
  /** Heard of lately. */
  live: boolean;
  draining: boolean;
  zone: string;
  address: string;
  placementTags: string[];
  instances: number;
  tasks: number;
  /** Instances of a draining cell that are not yet replaced, by what they wait for; "" while the other one starts. */
  waiting: { reason: string; instances: number }[];
}

export interface RotateRequest {
  what: Rotatable;
  /** How long former roots stay trusted. */
  overlapMs?: number;
}

export interface UpgradeRequest {
  /** Node.js and the supervisor's program of the code that takes over. */
  node: string;
  main: string;
}

export interface DrainRequest {
  cellId: string;
  draining: boolean;
}

type SupervisorOperation =
  | 'GET /status'
  | 'GET /cells'
  | 'POST /drain'
  | 'POST /down'
  | 'POST /leave'
  | 'POST /rotate'
  | 'POST /upgrade';

/** Asks the supervisor of this installation. Throws `not_running` where none answers, and what it says where it fails. */
export function askSupervisor<Answer>(
  layout: Layout,
  operation: SupervisorOperation,
  body?: RotateRequest | UpgradeRequest | DrainRequest,
): Promise<Answer> {
  return askAdmin<Answer>(layout.supervisorSocket, operation, body, 300_000);
}
