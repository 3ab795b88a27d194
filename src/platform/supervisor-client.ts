import { request } from 'node:http';
import { CupolaError } from '../kit/errors.ts';
import type { Layout } from './settings.ts';

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
  certificates: { name: string; notAfter: string }[];
  cells: { id: string; lastSeen: string | null }[];
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

/** Asks the supervisor of this installation. Throws `not_running` where none answers. */
export function askSupervisor<Answer>(
  layout: Layout,
  method: 'GET' | 'POST',
  path: '/status' | '/down' | '/cells' | `/cells/${string}/${'drain' | 'resume'}`,
): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const call = request({ socketPath: layout.supervisorSocket, method, path, timeout: 120_000 }, (response) => {
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
    response.on('end', () => {
      const text = Buffer.concat(chunks).toString();
      if (response.statusCode === 200) resolve(JSON.parse(text) as Answer);
      else reject(new CupolaError('supervisor_failed', text));
    });
  });
  call.on('error', (cause) => reject(new CupolaError('not_running', 'the platform does not run', { cause })));
  call.end();
  return promise;
}
