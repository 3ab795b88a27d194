import { type RawBuilder, sql } from 'kysely';

/** What the BBS keeps of an LRP to compare it by: what stands for its routes and rules, and when it is to be desired anew. */
export function annotationOf(network: string, renewal: string): string {
  return `${network} ${renewal}`;
}

/** The same in SQL. */
export function annotationIn(network: RawBuilder<string>, renewal: string): RawBuilder<string> {
  return sql<string>`concat(${network}, ' ', ${renewal}::text)`;
}

export function renewalIn(annotation: string): string | undefined {
  return annotation.split(' ')[1];
}
