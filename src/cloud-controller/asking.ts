import { authorize, authorizeEach, type Caller, mayDo, type Place, seesBy } from './authorization.ts';
import type { Db } from './database.ts';
import { notAuthorized } from './errors.ts';
import { isFeatureEnabled, requireFeature } from './feature-flags/store.ts';
import { type OperationId, permissionOf } from './permissions.ts';
import type { Role } from './role-names.ts';
import { type Asking, guidsAt, type Naming, type Permitted, type Source, type Subject } from './subject.ts';

interface Request extends Naming {
  readonly id: OperationId;
  readonly db: Db;
  readonly caller: Caller;
}

/**
 * Finds what these sources name and asks the permission table for each. Throws the source's own error where there is none that
 * the caller may know of, NotAuthorized, OrgSuspended.
 */
export async function permit(
  request: Request,
  sources: ReadonlyMap<string, Source>,
  before: Permitted,
): Promise<Permitted> {
  const found = new Map(before.found);
  const held = [...before.held];
  for (const [name, source] of sources) {
    const guids = [...new Set(guidsAt(source, request))];
    if (source.findAll) {
      const permitted = await permitEach(request, source, await source.findAll(askingOf(request), guids), guids);
      found.set(name, permitted.rows);
      held.push(...permitted.held);
      continue;
    }
    const [guid] = guids;
    if (source.presence === 'one' && guid === undefined) throw source.missing('');
    const permitted = guid === undefined ? null : await permitOne(request, source, guid);
    found.set(name, permitted?.row ?? null);
    if (permitted) held.push(permitted.held);
  }
  return { found, held };
}

function askingOf({ id, db, caller, params }: Request): Asking {
  return { db, params, ...seesBy(caller, id) };
}

/** Of things that all lie somewhere. */
async function permitEach(
  { id, db, caller }: Request,
  { subject, missing }: Source,
  rows: ReadonlyMap<string, unknown>,
  guids: readonly string[],
): Promise<{ rows: readonly unknown[]; held: readonly ReadonlySet<Role>[] }> {
  const places = guids.map((guid) => (rows.has(guid) ? placeIn(subject, rows.get(guid)) : null));
  const held = await authorizeEach(db, caller, id, places, (unknown) =>
    missing(...guids.filter((_, at) => unknown.has(at))),
  );
  return { rows: guids.map((guid) => rows.get(guid)), held };
}

function placeIn(subject: Subject, row: unknown): Place {
  const place = subject.place(row);
  if (place === null || place === 'foundation') throw new Error(`a ${subject.name} of several lies nowhere`);
  return place;
}

async function permitOne(
  request: Request,
  { subject, missing }: Source,
  guid: string,
): Promise<{ row: unknown; held: ReadonlySet<Role> }> {
  const { id, db, caller } = request;
  const row = await subject.find(askingOf(request), guid);
  if (row === null) throw missing(guid);
  const place = subject.place(row);
  if (place !== null && place !== 'foundation')
    return { row, held: await authorize(db, caller, id, place, missing(guid)) };
  // A list's line says who sees such a thing; whoever may do it to anything at all, may do it to what they see.
  const may = place === null ? mayDo(id, caller) : id.startsWith('GET ') || caller.globalRoles.has('admin');
  if (!may) throw notAuthorized();
  return { row, held: caller.globalRoles };
}

/** What the table says of an operation beside roles: a feature flag that must be on for everybody but the admin. */
export async function requireFlag(db: Db, id: OperationId, caller: Caller): Promise<void> {
  const { whileOn, adminsUnless } = permissionOf(id);
  if (caller.globalRoles.has('admin')) return;
  for (const flag of [whileOn ?? []].flat()) await requireFeature(db, flag);
  if (adminsUnless !== undefined && !(await isFeatureEnabled(db, adminsUnless))) throw notAuthorized();
}
