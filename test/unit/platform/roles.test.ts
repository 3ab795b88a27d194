import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { DescService } from '@bufbuild/protobuf';
import { type Client, Code, ConnectError, type Transport } from '@connectrpc/connect';
import { CellOperations } from '../../../src/contracts/gen/cell-operations_pb.js';
import { CloudControllerInternal } from '../../../src/contracts/gen/cloud-controller_pb.js';
import { Bbs, CellRegistry, Rep } from '../../../src/contracts/gen/diego_pb.js';
import { Ingress } from '../../../src/contracts/gen/loggregator_pb.js';
import { CellSsh } from '../../../src/contracts/gen/ssh_pb.js';
import { TokenRevocations } from '../../../src/contracts/gen/token-revocations_pb.js';
import { AuthorizationCodes, TokenKeys, UserDirectory } from '../../../src/contracts/gen/uaa_pb.js';
import type { KeyAndCertificate } from '../../../src/kit/pki.ts';
import { client, type RpcServer, remoteTransport, serveRpc } from '../../../src/kit/rpc.ts';
import { routerSettingsOf } from '../../../src/platform/cell-settings.ts';
import { layoutOf } from '../../../src/platform/layout.ts';
import { privatePorts } from '../../../src/platform/private-ports.ts';
import { Contracts, peersOf, peersOfCell } from '../../../src/platform/roles/contracts.ts';
import { processOf, roleProcesses } from '../../../src/platform/roles/cut.ts';
import { SEPARABLE } from '../../../src/platform/roles/names.ts';
import { renderRouterConfig } from '../../../src/router/index.ts';
import { identityUnder, testRoot } from '../../support/identities.ts';
import { silentLog } from '../../support/postgresql.ts';
import { testSettings } from '../../support/settings.ts';

const PORT = 24_061;
const ports = { ...testSettings().ports, control: PORT + 1, rpc: PORT };
const apart = testSettings({ overlay: '10.241', ports, separateRoles: [...SEPARABLE] });
const together = testSettings({ overlay: '10.241', ports, separateRoles: [] });

interface May {
  /** Of the process. */
  server: string;
  service: string;
  call: (transport: Transport) => Promise<unknown>;
  callers: readonly string[];
}

function may<Service extends DescService>(
  server: string,
  service: Service,
  ask: (one: Client<Service>) => Promise<unknown>,
  callers: readonly string[],
): May {
  return { server, service: service.typeName, call: (transport) => ask(client(service, transport)), callers };
}

/** Who may call what where each role has a process of its own, as a person reads it. */
const MAY: readonly May[] = [
  may('brain', Bbs, (one) => one.cells({}), ['control', 'routing', 'ssh', 'supervisor']),
  may('brain', CellOperations, (one) => one.list({}), ['supervisor']),
  may('brain', CellRegistry, (one) => one.heartbeat({}), ['cell']),
  may('control', CloudControllerInternal, (one) => one.logAccess({}), ['brain', 'logs', 'ssh']),
  may('logs', Ingress, (one) => one.send({}), ['control', 'routing', 'ssh', 'cell']),
  may('uaa', TokenKeys, (one) => one.keys({}), ['control', 'logs']),
  may('uaa', TokenRevocations, (one) => one.since({}), ['control', 'logs']),
  may('uaa', UserDirectory, (one) => one.byIds({}), ['control']),
  may('uaa', AuthorizationCodes, (one) => one.redeem({}), ['ssh']),
];
const EVERYBODY = [...roleProcesses(apart).map(({ name }) => name), 'cell', 'supervisor', 'router', 'nats', 'cell-0'];

describe('roles in processes of their own', () => {
  let root: KeyAndCertificate;
  const servers: RpcServer[] = [];

  before(async () => {
    root = await testRoot();
    for (const process of roleProcesses(apart)) {
      servers.push(
        await serveRpc({
          host: process.address,
          port: PORT,
          identity: await identityUnder(root, process.name),
          peers: peersOf(apart, process),
          routes: (router) => {
            if (process.name === 'uaa') router.service(TokenKeys, { keys: () => ({ jwks: 'of uaa' }) });
          },
          log: silentLog,
        }),
      );
    }
  });
  after(() => Promise.all(servers.map((server) => server.close())));

  for (const { server, service, call, callers } of MAY) {
    test(`TLS-07, SECURITY 22: ${service} is called by ${callers.join(', ')} alone`, async () => {
      const { address } = roleProcesses(apart).find(({ name }) => name === server)!;
      const admitted: string[] = [];
      for (const name of EVERYBODY) {
        const transport = remoteTransport(`https://${address}:${PORT}`, await identityUnder(root, name), server);
        const outcome = await call(transport).catch((error: unknown) => error);
        const refused = outcome instanceof ConnectError && outcome.code === Code.PermissionDenied;
        if (!refused) admitted.push(name);
      }
      assert.deepEqual(admitted.toSorted(), callers.toSorted());
    });
  }

  test('TLS-07, SECURITY 22: a cell is called by the brain and the SSH proxy alone, whatever process they are in', () => {
    assert.deepEqual(peersOfCell(apart), { [Rep.typeName]: ['brain'], [CellSsh.typeName]: ['ssh'] });
    assert.deepEqual(peersOfCell(together), { [Rep.typeName]: ['control'], [CellSsh.typeName]: ['control'] });
  });

  test('TLS-07, SECURITY 22: who listens in the place of another process is believed nothing', async () => {
    const self = processOf(apart, 'api');
    const ask = async (settings: typeof apart) =>
      new Contracts(settings, self, await identityUnder(root, 'control')).client(TokenKeys).keys({});
    assert.equal((await ask(apart)).jwks, 'of uaa');
    const uaa = servers[roleProcesses(apart).findIndex(({ name }) => name === 'uaa')]!;
    await uaa.close();
    const other = await serveRpc({
      host: processOf(apart, 'uaa').address,
      port: PORT,
      identity: await identityUnder(root, 'logs'),
      peers: { [TokenKeys.typeName]: ['control'] },
      routes: (router) => void router.service(TokenKeys, { keys: () => ({ jwks: 'of another' }) }),
      log: silentLog,
    });
    servers.push(other);
    await assert.rejects(ask(apart), /altname|alternative|does not match/i);
  });

  test('ARCH-12: a role of the same process is called in memory, and told to come again before it serves', async () => {
    const contracts = new Contracts(together, processOf(together, 'api'), await identityUnder(root, 'control'));
    const keys = contracts.client(TokenKeys);
    await assert.rejects(keys.keys({}), { code: Code.Unavailable });
    contracts.serve('uaa', (router) => void router.service(TokenKeys, { keys: () => ({ jwks: 'in memory' }) }));
    assert.equal((await keys.keys({})).jwks, 'in memory');
  });

  test('HLT-03: a call that finds nobody listening waits for the process to be started again', async () => {
    const settings = testSettings({ overlay: '10.242', ports, separateRoles: ['logs'] });
    const contracts = new Contracts(settings, processOf(settings, 'api'), await identityUnder(root, 'control'));
    const sent = contracts.client(Ingress).send({ batch: [] });
    await new Promise((resolve) => setTimeout(resolve, 300));
    servers.push(
      await serveRpc({
        host: processOf(settings, 'logs').address,
        port: PORT,
        identity: await identityUnder(root, 'logs'),
        peers: peersOf(settings, processOf(settings, 'logs')),
        routes: (router) => void router.service(Ingress, { send: () => ({}) }),
        log: silentLog,
      }),
    );
    await sent;
  });
});

test('every process has an address of its own, where the same accounts may knock, and a name of its own', () => {
  const all = roleProcesses(apart);
  assert.equal(all.length, 6);
  for (const key of ['name', 'address'] as const) assert.equal(new Set(all.map((one) => one[key])).size, all.length);
  const closed = privatePorts(apart, { control: { name: 'c', uid: 7, gid: 7 }, router: { name: 'r', uid: 8, gid: 8 } });
  for (const { address } of all) {
    for (const [port, accounts] of [
      [ports.control, [7, 8]],
      [ports.rpc, [7]],
    ] as const) {
      assert.deepEqual(closed.find((one) => one.address === address && one.port === port)?.accounts, accounts);
    }
  }
});

test('TLS-07, SECURITY 22: the router takes for each process what shows the certificate of that process', () => {
  const settings = routerSettingsOf(layoutOf(testSettings({ separateRoles: ['uaa', 'logs'] })), 100);
  const servers = [
    ...renderRouterConfig({ ...settings, poolSize: 1 }).matchAll(
      /^ {2}server (\S+) 127\..* verifyhost (\S+) sni (\S+)/gm,
    ),
  ];
  assert.deepEqual(
    servers.map(([, name, verified, named]) => [name, verified, named]),
    ['control', 'uaa', 'logs'].map((name) => [name, name, `str(${name})`]),
  );
});

test('system hosts lead to the process that serves them, and all others to control', () => {
  const { apart: led } = routerSettingsOf(layoutOf(testSettings({ separateRoles: ['logs', 'ssh'] })), 100);
  const logs = { name: 'logs', address: '127.200.254.4', port: 1, hosts: ['log-cache.cupola.localhost'] };
  assert.deepEqual(led, [logs]);
  assert.deepEqual(routerSettingsOf(layoutOf(testSettings({ separateRoles: [] })), 100).apart, []);
});
