import assert from 'node:assert/strict';
import type { Socket } from 'node:dgram';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { type ProcessIdentity, terminate } from '../../../src/kit/process.ts';
import { routerAddress } from '../../../src/platform/addresses.ts';
import type { Component } from '../../../src/platform/components/component.ts';
import { dns } from '../../../src/platform/components/dns.ts';
import type { Asker } from '../../../src/platform/host/dns-config.ts';
import { forgetInstallation, noteInstallation } from '../../../src/platform/host/installations.ts';
import { installResolver, removeResolver } from '../../../src/platform/host/names.ts';
import { writeSupervisorCommand } from '../../../src/platform/program.ts';
import { removeRemains } from '../../../src/platform/remains.ts';
import type { PlatformSettings } from '../../../src/platform/settings/schema.ts';
import { saveSettings } from '../../../src/platform/settings/store.ts';
import { type TestParts, testParts } from '../../support/component-parts.ts';
import { type Answer, answer, ask, bound } from '../../support/dns-queries.ts';
import { silentLog } from '../../support/postgresql.ts';

const SKIP = process.getuid?.() === 0 ? false : 'needs root';
const RESOLV_CONF = '/etc/resolv.conf';
const MACHINES_OWN = '127.0.55.53';
/** What the machine's own name server says of every name. */
const OUTSIDE = '192.0.2.1';
/** Less than dnsmasq's clients wait before they ask again: one query is to be enough. */
const SOON_MS = 2_000;

/** RFC 1035, 4.1.1. */
const NO_SUCH_NAME = 3;
const ASKERS = ['machine', 'containers'] as const;
type Addresses = Readonly<Record<Asker, string | null>>;
const EVERYWHERE_OUTSIDE: Addresses = { machine: OUTSIDE, containers: OUTSIDE };

class Installation {
  readonly settings: PlatformSettings;
  readonly #test: TestParts;
  readonly #running = new Map<Asker, { component: Component; process: ProcessIdentity }>();

  private constructor(settings: PlatformSettings, test: TestParts) {
    this.settings = settings;
    this.#test = test;
  }

  /** `number`: what no other has. */
  static async make(number: number, id: string, domain: string): Promise<Installation> {
    const made = await testParts(id, 21_000 + 10 * number);
    const { layout } = made.parts;
    const settings = {
      ...layout.settings,
      domain,
      bindAddress: `127.0.57.${number}`,
      gateway: `127.0.56.${number}`,
      resolverAddress: `127.0.55.${number}`,
    };
    saveSettings(settings);
    return new Installation(settings, { ...made, parts: { ...made.parts, layout: { ...layout, settings } } });
  }

  async up(): Promise<void> {
    noteInstallation(this.settings);
    writeSupervisorCommand(this.#test.parts.layout, process.execPath, 'supervisor.js');
    await installResolver(this.settings);
    for (const asker of ASKERS) {
      const component = dns(this.#test.parts, asker);
      this.#running.set(asker, { component, process: await component.start() });
      await answered(() => this.ask(asker, `api.${this.settings.domain}`, 100));
    }
  }

  async down(): Promise<void> {
    for (const { process } of this.#running.values()) await terminate(process);
    this.#running.clear();
  }

  async destroy(): Promise<void> {
    await this.down();
    await removeResolver(this.settings);
    forgetInstallation(this.settings);
    await removeRemains(this.#test.parts.layout, silentLog);
    await this.#test.remove();
  }

  /** What the supervisor does again and again. */
  async follow(): Promise<void> {
    for (const { component, process } of this.#running.values()) await component.follow!(process);
  }

  ask(asker: Asker, name: string, timeoutMs = SOON_MS): Promise<Answer | null> {
    const { gateway, resolverAddress } = this.settings;
    return ask(asker === 'machine' ? resolverAddress : gateway, name, timeoutMs);
  }

  /** Where its names lead. */
  own(): Addresses {
    return { machine: this.settings.bindAddress, containers: routerAddress(this.settings) };
  }

  /** Where another's names lead: its containers reach nothing of that on this machine. */
  others({ settings }: Installation): Addresses {
    return { machine: settings.bindAddress, containers: settings.domain.endsWith('.localhost') ? null : OUTSIDE };
  }

  /** Its name servers say so of the name, at once; null: that there is none. */
  async says(name: string, addresses: Addresses): Promise<void> {
    for (const asker of ASKERS) {
      const address = addresses[asker];
      const heard = await this.ask(asker, name);
      const found = heard?.code === NO_SUCH_NAME ? null : heard;
      assert.deepEqual(found, address && { code: 0, address }, `${name} for ${asker} of ${this.settings.domain}`);
    }
  }

  /** The same, once the servers that it was given are read. */
  async soonSays(name: string, addresses: Addresses): Promise<void> {
    for (const asker of ASKERS)
      await answered(async () => {
        const heard = await this.ask(asker, name, 200);
        return (heard?.code === NO_SUCH_NAME ? null : heard?.address) === addresses[asker] ? true : null;
      });
    await this.says(name, addresses);
  }
}

async function answered(body: () => Promise<unknown>): Promise<void> {
  for (const deadline = Date.now() + 10_000; (await body()) === null; )
    assert.ok(Date.now() < deadline, 'no such answer came');
}

describe('the name servers of several installations', { skip: SKIP }, () => {
  const machines = SKIP ? '' : readFileSync(RESOLV_CONF, 'utf8');
  let own: Socket;
  let one: Installation;
  let two: Installation;
  let below: Installation;
  before(async () => {
    own = await bound(MACHINES_OWN, 53);
    own.on('message', (question, from) => own.send(answer(question, OUTSIDE), from.port, from.address));
    writeFileSync(RESOLV_CONF, `nameserver ${MACHINES_OWN}\n`);
    one = await Installation.make(1, 'xna', 'one.example');
    two = await Installation.make(2, 'xnb', 'two.localhost');
    below = await Installation.make(3, 'xnc', 'below.one.example');
  });
  after(async () => {
    own.close();
    writeFileSync(RESOLV_CONF, machines);
    for (const installation of [one, two, below]) forgetInstallation(installation.settings);
  });

  test('know the names of the others, whichever came first, and of a domain below another’s', async () => {
    for (const installation of [one, two, below]) await installation.up();
    for (const installation of [one, two]) await installation.follow();
    const names = {
      'app.one.example': one,
      'app.two.localhost': two,
      'app.below.one.example': below,
      'below.one.example': below,
    };
    for (const asked of [one, two, below]) {
      await asked.soonSays('app.below.one.example', asked === below ? asked.own() : asked.others(below));
      for (const [name, named] of Object.entries(names))
        await asked.says(name, asked === named ? asked.own() : asked.others(named));
      await asked.says('www.example.org', EVERYWHERE_OUTSIDE);
    }
  });

  test('find the names of the outside at the first query, while others are down', async () => {
    for (const installation of [two, below]) await installation.down();
    await one.follow();
    for (let index = 0; index < 3; index += 1) await one.says(`n${index}.example.org`, EVERYWHERE_OUTSIDE);
    await two.up();
    for (let index = 3; index < 6; index += 1) await two.says(`n${index}.example.org`, EVERYWHERE_OUTSIDE);
    await two.says('app.one.example', two.others(one));
    await one.soonSays('app.two.localhost', one.others(two));
  });

  test('ask one that was destroyed no more', async () => {
    await two.destroy();
    await one.follow();
    await one.soonSays('app.two.localhost', EVERYWHERE_OUTSIDE);
    await below.destroy();
    await one.down();
    await one.up();
    await one.says('app.below.one.example', one.own());
    await one.destroy();
    assert.equal(readFileSync(RESOLV_CONF, 'utf8'), `nameserver ${MACHINES_OWN}\n`);
  });
});
