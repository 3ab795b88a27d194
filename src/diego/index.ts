import type { Routes } from '../kit/rpc.ts';
import { Diego, type DiegoOptions } from './diego.ts';
import { diegoRoutes } from './routes.ts';

export type { DiegoSettings } from './settings.ts';

export interface DiegoRoom {
  /** Registers the services Bbs, CellRegistry and CellOperations. */
  routes: Routes;
  start(): Promise<void>;
  close(): Promise<void>;
  /** Looks at everything now: to be called when the bus came back. */
  wake(): void;
}

/** Diego: the BBS, the auctioneer and the converger (DGO-01 to DGO-05). */
export function createDiego(options: DiegoOptions): DiegoRoom {
  const diego = new Diego(options);
  return {
    routes: diegoRoutes(diego),
    start: () => diego.start(),
    close: () => diego.close(),
    wake: () => diego.wake(),
  };
}
