import { sql } from 'kysely';
import { list, oneOf, values } from '../listing.ts';
import { trueOrFalse } from '../query.ts';
import { placeless } from '../subject.ts';
import { DEFAULT_STACK, findStack, type Stack } from './store.ts';
import { StackView, stackView } from './view.ts';

/** Everybody sees it. */
export const stack = placeless('Stack', findStack);

export const stacks = list('GET /v3/stacks', {
  table: 'stacks',
  from: (db) => db.selectFrom('stacks').selectAll('stacks'),
  seen: () => null,
  labels: true,
  orderBy: ['name'],
  filters: {
    names: values('stacks.name'),
    default: oneOf(
      trueOrFalse('Default'),
      (given) => sql<boolean>`(stacks.name = ${DEFAULT_STACK}) = ${given === 'true'}`,
    ),
  },
  view: StackView,
  views: ({ context }, rows: readonly Stack[]) => rows.map((row) => stackView(context.links, row)),
});
