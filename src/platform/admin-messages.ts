import Type, { type Static } from 'typebox';

/*
 * What goes over admin sockets. The supervisor, control and cells may be of two versions while one takes over from another: what is
 * not declared here is passed over, and what an earlier version does not tell is optional.
 */

export const KeyAndCertificate = Type.Object({ cert: Type.String(), key: Type.String() });
/** PEM: a component's own chain and key, and the roots it accepts peers under. */
export const Identity = Type.Object({ cert: Type.String(), key: Type.String(), ca: Type.String() });
/** What instances' certificates are issued under. */
export const InstanceAuthority = Type.Object({ intermediate: KeyAndCertificate, rootCertificate: Type.String() });

/** What the supervisor tells a running cell when certificates or roots changed. */
export const CellRenewal = Type.Object({
  identity: Identity,
  instanceIdentity: InstanceAuthority,
  routerRoot: Type.String(),
});
export type CellRenewal = Static<typeof CellRenewal>;

/** Errors that nobody caught in a process. */
export const Faults = Type.Object({
  uncaught: Type.Integer(),
  ofConnections: Type.Integer(),
  rejections: Type.Integer(),
});

/** What the router does not serve, and why; and routes that ask for HTTP/2 while it is off. */
export const RouterRoutes = Type.Object({
  refused: Type.Array(Type.String()),
  servedAsHttp1: Type.Optional(Type.Array(Type.String())),
});
export type RouterRoutes = Static<typeof RouterRoutes>;

/** Certificates of instances on a cell: how many, and when the first of them ends (milliseconds). */
export const CellCredentials = Type.Object({
  count: Type.Integer(),
  earliestEnd: Type.Union([Type.Number(), Type.Null()]),
});

/** How many instances of a cell have new certificates, and how many could not be given theirs. */
export const Renewed = Type.Object({ renewed: Type.Integer(), failed: Type.Integer() });

/** What `cupola rotate` takes. */
export const ROTATABLE = ['components', 'instances', 'uaa', 'roots', 'all'] as const;
export const Rotatable = Type.Enum(ROTATABLE);
export type Rotatable = Static<typeof Rotatable>;

export const RotateRequest = Type.Object({
  what: Rotatable,
  /** How long former roots stay trusted. */
  overlapMs: Type.Optional(Type.Integer({ minimum: 0 })),
});
/** A sentence for each step, for a person. */
export const Rotated = Type.Object({ done: Type.Array(Type.String()) });

export const UpgradeRequest = Type.Object({
  /** Node.js and the supervisor's program of the code that takes over. */
  node: Type.String({ pattern: '^/' }),
  main: Type.String({ pattern: '^/' }),
});

export const DrainRequest = Type.Object({ cellId: Type.String({ minLength: 1 }), draining: Type.Boolean() });
export type DrainRequest = Static<typeof DrainRequest>;

/** The process that is about to end, or to become another. */
export const Leaving = Type.Object({ pid: Type.Integer() });

/** One process or engine as the supervisor sees it. */
const ComponentStatus = Type.Object({
  name: Type.String(),
  pid: Type.Union([Type.Integer(), Type.Null()]),
  state: Type.Enum(['running', 'starting', 'stopped']),
  restarts: Type.Integer(),
  /** Errors that nobody caught, since the supervisor began; missing in what an earlier one tells. */
  faults: Type.Optional(Type.Integer()),
  account: Type.String(),
});
export type ComponentStatus = Static<typeof ComponentStatus>;

/** A certificate and its end (ISO 8601). */
export const Expiry = Type.Object({ name: Type.String(), notAfter: Type.String() });
export type Expiry = Static<typeof Expiry>;

/** Why processes of before still run, and what of it. */
export const UpdateStatus = Type.Object({
  /** Components that run as they were before. */
  outdated: Type.Array(Type.String()),
  /** What stopped the update; it goes no further until another supervisor takes over or the component is restarted. */
  problem: Type.Union([Type.String(), Type.Null()]),
  /** One is being replaced, or the last one that was is not known to be well yet. */
  running: Type.Boolean(),
});
export type UpdateStatus = Static<typeof UpdateStatus>;

export const RotationStatus = Type.Object({
  phase: Type.Enum(['announced', 'retiring', 'retired']),
  /** When the former roots stop being trusted; null while the next issue nothing yet, and afterwards. */
  until: Type.Union([Type.String(), Type.Null()]),
});
export type RotationStatus = Static<typeof RotationStatus>;

/** The data, by major versions of PostgreSQL. */
const DatabaseStatus = Type.Object({
  version: Type.Integer(),
  /** What they were carried over from, and nothing comes back to. */
  remains: Type.Array(Type.Integer()),
});

const Routes = Type.Optional(Type.Union([Type.Array(Type.String()), Type.Null()]));

export const PlatformStatus = Type.Object({
  /** Everything runs and the API answers. */
  ready: Type.Boolean(),
  api: Type.String(),
  components: Type.Array(ComponentStatus),
  certificates: Type.Array(Expiry),
  cells: Type.Array(Type.Object({ id: Type.String(), lastSeen: Type.Union([Type.String(), Type.Null()]) })),
  /** What the router does not serve, and why; null where control does not say. */
  notRouted: Routes,
  /** Routes that ask for HTTP/2 while it is off. */
  servedAsHttp1: Routes,
  /** Which code decides: where it lies, its digest, and the Node.js it runs on. */
  supervisor: Type.Object({
    pid: Type.Integer(),
    project: Type.String(),
    program: Type.String(),
    node: Type.String(),
    /** The image that engines are started from; absent in what an earlier version says. */
    engines: Type.Optional(Type.String()),
  }),
  update: UpdateStatus,
  /** Missing in what an earlier version tells. */
  database: Type.Optional(DatabaseStatus),
  /** Null while no roots are on their way in or out. */
  rotation: Type.Union([RotationStatus, Type.Null()]),
  /** It ends, and with it, where it was told to, all that runs. Missing in what an earlier version tells. */
  leaving: Type.Optional(Type.Boolean()),
});
export type PlatformStatus = Static<typeof PlatformStatus>;

/** One cell as Diego sees it. */
export const CellStatus = Type.Object({
  id: Type.String(),
  /** Heard of lately. */
  live: Type.Boolean(),
  draining: Type.Boolean(),
  zone: Type.String(),
  address: Type.String(),
  placementTags: Type.Array(Type.String()),
  instances: Type.Integer(),
  tasks: Type.Integer(),
  /** Instances of a draining cell that are not yet replaced, by what they wait for; "" while the other one starts. */
  waiting: Type.Array(Type.Object({ reason: Type.String(), instances: Type.Integer() })),
});
export type CellStatus = Static<typeof CellStatus>;
