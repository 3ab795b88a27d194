import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { type DesiredLrp, DesiredLrpSchema, type Task, TaskSchema } from '../contracts/gen/diego_pb.js';
import type { Sealed, Sealer } from '../kit/crypto.ts';

/** Columns that hold a sealed definition. */
export interface SealedColumns {
  definition: Buffer;
  key_label: string;
}

/** Seals and opens whole definitions; each is bound to its row, so that it opens in no other (CC-02). */
export class Definitions {
  readonly #sealer: Sealer;

  constructor(sealer: Sealer) {
    this.#sealer = sealer;
  }

  /** Routes and egress rules change on their own and lie in columns of their own: they are left out here. */
  sealDesiredLrp(lrp: DesiredLrp): Sealed {
    const kept = create(DesiredLrpSchema, { ...lrp, routes: [], egressRules: [] });
    return this.#sealer.seal(base64(toBinary(DesiredLrpSchema, kept)), `desired_lrps/${lrp.processGuid}`);
  }

  openDesiredLrp(processGuid: string, row: SealedColumns): DesiredLrp {
    return fromBinary(DesiredLrpSchema, this.#open(row, `desired_lrps/${processGuid}`));
  }

  sealTask(task: Task): Sealed {
    return this.#sealer.seal(base64(toBinary(TaskSchema, task)), `tasks/${task.taskGuid}`);
  }

  openTask(taskGuid: string, row: SealedColumns): Task {
    return fromBinary(TaskSchema, this.#open(row, `tasks/${taskGuid}`));
  }

  #open(row: SealedColumns, context: string): Uint8Array {
    return Buffer.from(this.#sealer.open({ keyLabel: row.key_label, data: row.definition }, context), 'base64');
  }
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}
