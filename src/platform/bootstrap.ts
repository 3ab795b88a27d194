import { text } from 'node:stream/consumers';
import Type, { type Static, type TSchema } from 'typebox';
import { checkedJson } from '../kit/checked.ts';
import { Identity, InstanceAuthority } from './admin-messages.ts';
import { Secrets } from './secrets.ts';
import { PlatformSettings } from './settings/schema.ts';
import { SystemBuildpackFile } from './system-buildpacks.ts';

/** What the supervisor tells control on standard input: secrets stand in no file, argument or environment. */
export const ControlBootstrap = Type.Object({
  settings: PlatformSettings,
  identity: Identity,
  maxConnections: Type.Integer(),
  /** The listening socket for the router's access log, which control inherits. */
  accessLogDescriptor: Type.Integer(),
  /** The listening socket on which the router brings SSH clients; null where there is no `cf ssh`. */
  sshDescriptor: Type.Union([Type.Integer(), Type.Null()]),
  buildpacks: Type.Array(SystemBuildpackFile),
  /** For every staging container. */
  stagingEnvironment: Type.Record(Type.String(), Type.String()),
  secrets: Type.Pick(Secrets, ['databaseKey', 'blobSigningKey', 'adminPassword', 'clientSecrets', 'sshHostKey']),
});
export type ControlBootstrap = Static<typeof ControlBootstrap>;

/** What the supervisor tells a cell on standard input. */
export const CellBootstrap = Type.Object({
  settings: PlatformSettings,
  index: Type.Integer(),
  identity: Identity,
  maxConnections: Type.Integer(),
  proxyAccount: Type.Object({ uid: Type.Integer(), gid: Type.Integer() }),
  /** Vouches for public routes: apps trust it, so that they reach each other by name. Two, while one takes the place of another. */
  routerRoot: Type.String(),
  instanceIdentity: InstanceAuthority,
  /** The tree of the image that runc and what comes with it are taken from; null: the machine's own. */
  engineRoot: Type.Union([Type.String(), Type.Null()]),
  buildpacks: Type.Array(SystemBuildpackFile),
});
export type CellBootstrap = Static<typeof CellBootstrap>;

/** What the supervisor says on standard input. Throws `invalid_bootstrap`. */
export async function readBootstrap<Shape extends TSchema>(shape: Shape): Promise<Static<Shape>> {
  return checkedJson(shape, await text(process.stdin), { code: 'invalid_bootstrap', what: 'what the supervisor says' });
}

/** Ends the process in order when the supervisor asks; a second signal ends it at once. */
export function onTermination(close: () => Promise<void>): void {
  let asked = false;
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.on(name, () => {
      if (asked) process.exit(1);
      asked = true;
      void close().then(
        () => process.exit(0),
        () => process.exit(1),
      );
    });
  }
}
