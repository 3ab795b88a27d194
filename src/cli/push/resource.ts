import Type from 'typebox';

/** What every resource of the API has. */
export const Resource = Type.Object({ guid: Type.String() });
