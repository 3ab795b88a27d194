import { fromBinary } from '@bufbuild/protobuf';
import { type Envelope, EnvelopeSchema } from '../../src/contracts/gen/loggregator_pb.js';

/** What a batch brought, read by the schema alone. */
export function envelopesOf(batch: readonly Uint8Array[] | undefined): Envelope[] {
  return (batch ?? []).map((bytes) => fromBinary(EnvelopeSchema, bytes));
}
