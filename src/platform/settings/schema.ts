import Type, { type Static } from 'typebox';

import { SEPARABLE } from '../roles/names.ts';

export const Port = Type.Integer({ minimum: 1, maximum: 65_535 });
export const MOST_CELLS = 8;
export const CellCount = Type.Integer({ minimum: 1, maximum: MOST_CELLS });
const Text = (description: string) => Type.String({ minLength: 1, description });
const Count = Type.Integer({ minimum: 1 });
export const SeparableRole = Type.Enum([...SEPARABLE]);
const Registries = Type.Array(Type.String());

/**
 * What one installation is: settings.json in its data directory, written at the first `up` and kept. Nothing in it is secret. What may
 * be absent is absent in what an earlier version wrote. Descriptions are of what no option sets; options.ts has the others.
 */
export const PlatformSettings = Type.Object({
  id: Type.String({
    pattern: '^[a-z]{3}$',
    description:
      "three letters from the data directory's path: names the run directory, links, tables and control groups",
  }),
  dataDirectory: Text('where everything of the installation lies'),
  keyFile: Text('opens the sealed secrets'),
  domain: Text('the platform and its apps are below it'),
  bindAddress: Text('where clients come'),
  httpsPort: Port,
  httpPort: Type.Union([Port, Type.Null()], {
    description: 'plain HTTP for apps: 80 beside HTTPS on 443, else none (null)',
  }),
  cells: CellCount,
  /** Where SSH clients come; the same as `httpsPort` where they come through the router alone. Null: no `cf ssh` (CC-03). */
  sshPort: Type.Union([Port, Type.Null()]),
  /** Cell n is in zone z(1 + n mod zones). */
  zones: CellCount,
  /** Placement tags by cell: a cell with tags is an isolation segment's and takes nothing else. */
  cellTags: Type.Array(Type.Array(Type.String())),
  ports: Type.Object(
    {
      control: Port,
      rpc: Port,
      nats: Port,
      /** Of installations from before the SSH proxy had a socket; 0 until `cf ssh` was decided on. */
      ssh: Type.Integer({ minimum: 0, maximum: 65_535 }),
      rep: Type.Array(Port),
      proxy: Type.Array(Port),
    },
    { description: "of control and the bus and, on the cells' own addresses, their reps and proxies" },
  ),
  /** See addresses.ts for what the platform itself has of it. */
  overlay: Type.String({
    pattern: '^10\\.\\d{1,3}$',
    description: "the overlay, 10.X: cell n's containers have 10.X.n.0/24",
  }),
  gateway: Text("every container's gateway and name server"),
  resolverAddress: Text('where the machine itself asks for names'),
  uidRangeBase: Type.Integer({ minimum: 0, description: "the first of the containers' user numbers" }),
  adminUser: Text("the administrator's name"),
  stagingEnvironment: Type.Optional(Type.Record(Type.String(), Type.String())),
  /** Container registries, as "host" or "host:port". Absent: none. */
  docker: Type.Optional(
    Type.Object({
      /** May be at internal addresses. */
      allowedRegistries: Registries,
      /** May be at internal addresses, and are spoken to over plain HTTP. */
      insecureRegistries: Registries,
    }),
  ),
  /** What packages and droplets may take, in MB; absent: the defaults. */
  storage: Type.Optional(
    Type.Object({
      perOrganization: Type.Optional(Count),
      reserve: Type.Optional(Count),
      maximumAppDisk: Type.Optional(Count),
    }),
  ),
  /** What callers may ask of the API in a minute; absent: the defaults. */
  requests: Type.Optional(
    Type.Object({
      /** Of one user, or of one client that acts for itself. */
      perCaller: Type.Optional(Count),
      /** Of one address, without a token that is good. */
      perAddress: Type.Optional(Count),
    }),
  ),
  /** The router speaks HTTP/2 to apps that ask for it: any of them can then end its process (decision 0034). Absent: it does not. */
  http2Apps: Type.Optional(Type.Boolean()),
  /** The roles of control that have a process of their own. Absent: those of decision 0036. */
  separateRoles: Type.Optional(Type.Array(SeparableRole)),
  /** Cells unpack the buildpacks of the platform as they start. Absent: they do. */
  unpackAhead: Type.Optional(Type.Boolean()),
  /** Where engines come from that Debian's stable has too old: lines for apt. Absent: Debian's testing. */
  engineSources: Type.Optional(Type.Array(Type.String())),
});
export type PlatformSettings = Static<typeof PlatformSettings>;
