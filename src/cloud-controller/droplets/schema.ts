import { Type } from 'typebox';
import { ToOne } from '../relationships.ts';

export const CreateDroplet = Type.Object(
  {
    relationships: Type.Object({ app: ToOne<'app'>() }, { additionalProperties: false }),
    process_types: Type.Optional(Type.Record(Type.String({ minLength: 1 }), Type.String({ minLength: 1 }))),
  },
  { additionalProperties: false },
);
