import { text } from 'node:stream/consumers';
import Type, { type Static, type TSchema } from 'typebox';
import { checkedJson } from '../kit/checked.ts';
import { Identity, InstanceAuthority } from './admin-messages.ts';
import { Secrets } from './secrets.ts';
import { PlatformSettings } from './settings/schema.ts';
import { SystemBuildpackFile } from './system-buildpacks.ts';

/** 32 bytes, base64: what a room's values in the database are sealed under. */
const SealingKey = Type.String();
const { adminPassword, blobSigningKey, clientSecrets, sshHostKey } = Secrets.properties;

/** What each role is told, and no other: secrets among it. */
const RoleBootstraps = {
  api: Type.Object({
    sealingKey: SealingKey,
    blobSigningKey,
    buildpacks: Type.Array(SystemBuildpackFile),
    /** For every staging container. */
    stagingEnvironment: Type.Record(Type.String(), Type.String()),
    sshHostKeyFingerprint: Type.Union([Type.String(), Type.Null()]),
  }),
  uaa: Type.Object({ sealingKey: SealingKey, adminPassword, clientSecrets }),
  brain: Type.Object({ sealingKey: SealingKey }),
  logs: Type.Object({}),
  routing: Type.Object({
    maxConnections: Type.Integer(),
  }),
  ssh: Type.Object({
    hostKey: sshHostKey,
    clientSecret: Type.String(),
    /** The listening socket on which the router brings SSH clients; null where there is no `cf ssh`. */
    descriptor: Type.Union([Type.Integer(), Type.Null()]),
  }),
} as const;

/**
 * What the supervisor tells control, or a process that has a part of it, on standard input: secrets stand in no file, argument or
 * environment. It has the roles that are told something.
 */
export const ControlBootstrap = Type.Object({
  settings: PlatformSettings,
  /** Of the process. */
  name: Type.String(),
  identity: Identity,
  roles: Type.Partial(Type.Object(RoleBootstraps)),
});
export type ControlBootstrap = Static<typeof ControlBootstrap>;
/** By role. */
export type RoleBootstrap = Required<ControlBootstrap['roles']>;

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
