import type { KyselyPlugin, PluginTransformQueryArgs, PluginTransformResultArgs } from 'kysely';
import type { Db, Trx } from '../database.ts';
import { SchemaCheck } from '../schema-check.ts';
import { EVENTS } from './catalogue.ts';
import type { AuditEvent } from './event.ts';

/** Marks a database whose events are checked, and changes nothing of what is asked there. */
class EventCheck implements KyselyPlugin {
  readonly #schemas = new SchemaCheck();

  check({ type, data }: AuditEvent): void {
    const problem = this.#schemas.problemOf(EVENTS[type].data, data);
    if (problem !== null) throw new Error(`${type} is recorded with other data than the catalogue says: ${problem}`);
  }

  transformQuery({ node }: PluginTransformQueryArgs) {
    return node;
  }

  async transformResult({ result }: PluginTransformResultArgs) {
    return result;
  }
}

/** The same database, in whose transactions no event can be recorded but as the catalogue says. For tests. */
export function withCheckedEvents(db: Db): Db {
  return db.withPlugin(new EventCheck());
}

/** Throws where an event says something else than the catalogue, in a transaction of a database that is checked. */
export function checkRecorded(trx: Trx, event: AuditEvent): void {
  for (const plugin of trx.getExecutor().plugins) if (plugin instanceof EventCheck) plugin.check(event);
}
