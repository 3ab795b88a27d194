import type { Client } from '@connectrpc/connect';
import type { UserDirectory as UserDirectoryService } from './gen/uaa_pb.js';
import { UaaUnavailableError } from './uaa-unavailable.ts';

/** A user as UAA knows them. */
export interface DirectoryUser {
  id: string;
  userName: string;
  origin: string;
}

/** What the Cloud Controller asks of UAA: names of users and users of names. */
export interface UserDirectory {
  /** Missing ids are left out. */
  byIds(ids: readonly string[]): Promise<DirectoryUser[]>;
  /** One question, however many names; case-insensitive. Several where a name exists in several origins. */
  byNames(userNames: readonly string[], origin?: string): Promise<DirectoryUser[]>;
  /** Users whose name contains one of the parts. */
  byPartialNames(parts: readonly string[]): Promise<DirectoryUser[]>;
}

/** The directory behind its contract. Throws UaaUnavailableError where UAA does not answer. */
export function userDirectory(uaa: Client<typeof UserDirectoryService>): UserDirectory {
  const users = async (asked: Promise<{ users: DirectoryUser[] }>): Promise<DirectoryUser[]> => {
    try {
      return (await asked).users.map(({ id, userName, origin }) => ({ id, userName, origin }));
    } catch (cause) {
      throw new UaaUnavailableError('the users of UAA are not known', { cause });
    }
  };
  return {
    byIds: async (ids) => (ids.length === 0 ? [] : users(uaa.byIds({ ids: [...ids] }))),
    byNames: async (userNames, origin) =>
      userNames.length === 0
        ? []
        : users(uaa.byNames({ userNames: [...userNames], ...(origin === undefined ? {} : { origin }) })),
    byPartialNames: async (parts) => (parts.length === 0 ? [] : users(uaa.byPartialNames({ parts: [...parts] }))),
  };
}
