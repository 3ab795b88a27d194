import type { Static } from 'typebox';
import { recordEvent } from '../audit-events/store.ts';
import type { Actor } from '../authorization.ts';
import type { Context } from '../context.ts';
import { unprocessable } from '../errors.ts';
import { userEvent } from './events.ts';
import type { CreateUser } from './schema.ts';
import { insertUser, type User } from './store.ts';

type Body = Static<typeof CreateUser>;

/** Makes a user of somebody, who can have roles from then on. Throws UnprocessableEntity. */
export async function createUser(context: Context, body: Body, actor: Actor): Promise<User> {
  const guid = await guidOf(context, body);
  const made = await context.db.transaction().execute(async (trx) => {
    const row = await insertUser(trx, guid, body.metadata);
    if (row)
      await recordEvent(
        trx,
        userEvent('audit.user.create', actor, { guid, name: body.username ?? guid }, { request: body }),
      );
    return row;
  });
  if (made) return made;
  throw unprocessable(
    body.username === undefined
      ? `User with guid '${guid}' already exists.`
      : `User with username '${body.username}' and origin '${body.origin}' already exists.`,
  );
}

/** By guid, or by the name and origin of somebody UAA knows. */
async function guidOf(context: Context, { guid, username, origin }: Body): Promise<string> {
  if (guid !== undefined && username === undefined && origin === undefined) return guid;
  if (guid !== undefined || username === undefined || origin === undefined) {
    throw unprocessable('A user is named either by guid or by username and origin');
  }
  const [known] = await context.users.byNames([username], origin);
  if (!known) throw unprocessable(`No user exists with the username '${username}' and origin '${origin}'.`);
  return known.id;
}
