import { Type } from 'typebox';
import { ResourceName } from '../names.ts';
import { ProcessType } from '../processes/schema.ts';

const Name = ResourceName({ nullRefused: true });
const Command = Type.String({ minLength: 1, maxLength: 4096, nullRefused: true });
const ProcessTypes = Type.Array(ProcessType, {
  minItems: 1,
  maxItems: 100,
  nullRefused: true,
});
const Memory = Type.Union([Type.Integer({ exclusiveMinimum: 0, maximum: 2_147_483_647 }), Type.Null()]);
export const CreateSidecar = Type.Object(
  { name: Name, command: Command, process_types: ProcessTypes, memory_in_mb: Type.Optional(Memory) },
  { additionalProperties: false },
);
export const UpdateSidecar = Type.Partial(CreateSidecar, { additionalProperties: false });
