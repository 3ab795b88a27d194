import { CellOperations } from '../contracts/gen/cell-operations_pb.js';
import { Bbs, CellRegistry } from '../contracts/gen/diego_pb.js';
import type { Routes } from '../kit/rpc.ts';
import { bbsService } from './bbs.ts';
import { cellRegistryService } from './cell-registry.ts';
import { cellOperationsService } from './cells/operations.ts';
import type { Diego } from './diego.ts';

/** The services Bbs, CellRegistry and CellOperations. */
export function diegoRoutes(diego: Diego): Routes {
  return (router) => {
    router.service(Bbs, bbsService(diego));
    router.service(CellRegistry, cellRegistryService(diego));
    router.service(CellOperations, cellOperationsService(diego));
  };
}
