import { DrainRequest, RotateRequest, UpgradeRequest } from '../admin-messages.ts';
import { type AdminOperations, adminOperation, NoBody } from '../admin-socket.ts';
import { cellNames } from '../cell-settings.ts';
import type { Health } from '../health.ts';
import type { Layout } from '../layout.ts';
import type { Rotation } from '../rotation.ts';

/** What an operator's commands reach of the supervisor. */
export interface Operated {
  layout: Layout;
  health: Pick<Health, 'cells' | 'setDraining'>;
  rotation: Pick<Rotation, 'rotate'>;
  status(): Promise<unknown>;
  down(): Promise<void>;
  leave(): Promise<void>;
  /** Other code takes over next. Throws where that would not find what it needs; it goes on itself then. */
  yieldTo(node: string, main: string): Promise<void>;
  /** After the answer. */
  end(): void;
}

/** The operations on the supervisor's socket. */
export function supervisorOperations(supervisor: Operated): AdminOperations {
  const { layout, health, rotation } = supervisor;
  return {
    'GET /status': adminOperation(NoBody, () => supervisor.status()),
    'GET /cells': adminOperation(NoBody, () => health.cells(cellNames(layout.settings))),
    'POST /drain': adminOperation(DrainRequest, (request) => health.setDraining(request)),
    'POST /down': adminOperation(NoBody, async () => {
      await supervisor.down();
      supervisor.end();
      return { pid: process.pid };
    }),
    'POST /leave': adminOperation(NoBody, async () => {
      await supervisor.leave();
      supervisor.end();
      return { pid: process.pid };
    }),
    'POST /rotate': adminOperation(RotateRequest, async ({ what, overlapMs }) => ({
      done: await rotation.rotate(what, overlapMs),
    })),
    'POST /upgrade': adminOperation(UpgradeRequest, async ({ node, main }) => {
      await supervisor.yieldTo(node, main);
      return { pid: process.pid };
    }),
  };
}
