import type { JSONWebKeySet } from 'jose';
import { AuthorizationCodes, TokenKeys, UserDirectory as UserDirectoryService } from '../contracts/gen/uaa_pb.js';
import type { UserDirectory } from '../contracts/user-directory.ts';
import type { Routes } from '../kit/rpc.ts';

export interface Contracted {
  tokenKeys: () => Promise<JSONWebKeySet>;
  directory: UserDirectory;
  redeemCode: (client: { id: string; secret: string }, code: string, address: string) => Promise<string | null>;
}

/** What the other rooms ask (contracts/uaa.proto). */
export function uaaRoutes({ tokenKeys, directory, redeemCode }: Contracted): Routes {
  return ({ service }) => {
    service(TokenKeys, { keys: async () => ({ jwks: JSON.stringify(await tokenKeys()) }) });
    service(UserDirectoryService, {
      byIds: async ({ ids }) => ({ users: await directory.byIds(ids) }),
      byNames: async ({ userNames, origin }) => ({ users: await directory.byNames(userNames, origin) }),
      byPartialNames: async ({ parts }) => ({ users: await directory.byPartialNames(parts) }),
    });
    service(AuthorizationCodes, {
      redeem: async ({ clientId, clientSecret, code, address }) => ({
        accessToken: (await redeemCode({ id: clientId, secret: clientSecret }, code, address)) ?? '',
      }),
    });
  };
}
