import type { CellPresence, Owner } from '../contracts/gen/diego_pb.js';
import type { SshProxyOptions } from './settings.ts';

/** Which instance a user may reach. */
export interface Grant {
  instanceGuid: string;
  cell: CellPresence;
  /** Whose it is. */
  owner: Owner;
  userGuid: string;
  index: number;
}

/** The instance a user name asks for: `cf:<process or app guid>/<index>`. Null for any other. */
export function parseUserName(userName: string): { processGuid: string; index: number } | null {
  const [, processGuid, index] = /^cf:([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\/(\d{1,6})$/.exec(userName) ?? [];
  return processGuid === undefined || index === undefined ? null : { processGuid, index: Number(index) };
}

/**
 * One try to log in: the code for a token, the token for a permission, the permission for an instance that runs. Null
 * where any of them is not to be had; the client learns no more.
 */
export async function logIn(
  options: Pick<SshProxyOptions, 'exchangeCode' | 'cloudController' | 'bbs'>,
  userName: string,
  code: string,
  address: string,
): Promise<Grant | null> {
  const wanted = parseUserName(userName);
  if (!wanted || !/^[\w-]{8,200}$/.test(code)) return null;
  const accessToken = await options.exchangeCode(code, address);
  if (accessToken === null) return null;
  const { allowed, owner, userGuid, lrpProcessGuid } = await options.cloudController.sshAccess({
    accessToken,
    ...wanted,
  });
  if (!allowed || !owner) return null;
  const [{ actualLrps }, { cells }] = await Promise.all([
    options.bbs.actualLrps({ processGuids: [lrpProcessGuid] }),
    options.bbs.cells({}),
  ]);
  const instance = actualLrps.find(({ index, state }) => index === wanted.index && state === 'RUNNING');
  const cell = cells.find(({ cellId }) => cellId === instance?.cellId);
  if (!instance || !cell) return null;
  return { instanceGuid: instance.instanceGuid, cell, owner, userGuid, index: wanted.index };
}
