import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import * as native from '@node-rs/bcrypt';
import { UaaError } from '../../../src/uaa/errors.ts';
import { Form } from '../../../src/uaa/http/form.ts';
import { passwordGrant } from '../../../src/uaa/oauth/password-grant.ts';
import { createServices } from '../../../src/uaa/services.ts';
import { LoginGuard } from '../../../src/uaa/users/login-guard.ts';
import { type Bcrypt, Passwords } from '../../../src/uaa/users/passwords.ts';
import { ADMIN_PASSWORD, CC_SECRET, startTestUaa, type TestUaa } from './support.ts';

let uaa: TestUaa;
before(async () => {
  uaa = await startTestUaa();
});
after(() => uaa.stop());

const PASSWORD = 'a long password';
const LOCKED = {
  error: 'unauthorized',
  error_description: 'Your account has been locked because of too many failed attempts to login.',
};
const BAD = 'Bad credentials';
const [HOME, STRANGER, OTHER_STRANGER] = ['198.51.100.1', '203.0.113.1', '2001:db8::1'];

/** As the router says where the request comes from. */
const login = (username: string, password: string, address = STRANGER) =>
  uaa.call('POST', '/oauth/token', {
    basic: 'cf:',
    form: { grant_type: 'password', username, password },
    headers: { 'x-forwarded-for': address },
  });

async function guess(username: string, times: number, address = STRANGER): Promise<void> {
  for (let attempt = 0; attempt < times; attempt += 1) {
    assert.equal((await login(username, 'guess', address)).body.error_description, BAD, `${attempt + 1}`);
  }
}

test('SECURITY 19: five failed logins lock a name for five minutes, known or unknown, through a restart', async () => {
  await uaa.createUser('victim');
  for (const name of ['victim', 'no-such-user']) await guess(name.toUpperCase(), 5);
  await uaa.restart();
  for (const name of ['victim', 'no-such-user']) {
    const answer = await login(name, PASSWORD, OTHER_STRANGER);
    assert.deepEqual([answer.status, answer.body], [401, LOCKED]);
  }
  uaa.ahead(301);
  assert.equal((await login('victim', PASSWORD)).status, 200);
  uaa.ahead(0);
});

test('SECURITY 19: after a lock one failure locks again, until the hour is over', async () => {
  await uaa.createUser('persistent');
  await guess('persistent', 5);
  let guesses = 5;
  for (let second = 0; second < 3_600; second += 60) {
    uaa.ahead(second);
    if ((await login('persistent', 'guess')).body.error_description === BAD) guesses += 1;
  }
  assert.ok(guesses <= 16, `${guesses} guesses in an hour, where UAA allows 16`);
  uaa.ahead(3_600 + 301);
  await guess('persistent', 4);
  assert.equal((await login('persistent', PASSWORD)).status, 200);
  uaa.ahead(0);
});

test('SECURITY 19: guesses at the same time get no further than guesses in turn, and none of them tells which was right', async () => {
  await uaa.createUser('popular');
  // Of one address no more may wait at once.
  const addresses = Array.from({ length: 4 }, (_, index) => `198.51.100.${50 + index}`);
  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, index) =>
      login('popular', index === 39 ? PASSWORD : `guess ${index}`, addresses[index % 4]),
    ),
  );
  assert.ok(answers.every((answer) => answer.status === 401));
  assert.equal(answers.filter(({ body }) => body.error_description === BAD).length, 5, 'the others learn nothing');
});

test('SECURITY 19: a right password that comes while guesses lock the name is answered as a wrong one', async () => {
  const policy = { failures: 5, withinSeconds: 300, lockSeconds: 300 };
  const guard = new LoginGuard(uaa.db, policy, () => new Date());
  const late = { userName: 'late', origin: 'uaa', address: STRANGER };
  const [right, wrong, ...guesses] = await Promise.all(Array.from({ length: 7 }, () => guard.begin(late)));
  for (const one of guesses) await one.failed();
  const refused = { kind: 'unauthorized', description: LOCKED.error_description };
  await assert.rejects(right!.succeeded(), refused);
  await assert.rejects(wrong!.failed(), refused);
  await assert.rejects(guard.begin(late), refused);
});

test('SECURITY 19: strangers lock a name for strangers; its holder goes on logging in from where they do', async () => {
  await uaa.createUser('administrator');
  assert.equal((await login('administrator', PASSWORD, HOME)).status, 200);
  await guess('administrator', 5);
  assert.deepEqual(
    (await login('administrator', PASSWORD, OTHER_STRANGER)).body,
    LOCKED,
    'all strangers have one count',
  );
  assert.equal((await login('administrator', PASSWORD, HOME)).status, 200);
  assert.deepEqual((await login('administrator', PASSWORD)).body, LOCKED, 'and that login frees nobody else');
  await uaa.createUser('neighbour');
  await guess('neighbour', 5);
  assert.deepEqual((await login('neighbour', PASSWORD, HOME)).body, LOCKED, 'an address is known for one name');
  await guess('administrator', 5, HOME);
  assert.deepEqual((await login('administrator', PASSWORD, HOME)).body, LOCKED, 'guessing is bounded there, too');
});

test('SECURITY 19: an address is known for thirty days, and ten of them for a name', async () => {
  await uaa.createUser('traveller');
  const addresses = Array.from({ length: 12 }, (_, index) => `192.0.2.${index + 1}`);
  for (const [index, address] of addresses.entries()) {
    uaa.ahead(index);
    assert.equal((await login('traveller', PASSWORD, address)).status, 200);
  }
  await guess('traveller', 5);
  assert.deepEqual((await login('traveller', PASSWORD, addresses[1])).body, LOCKED, 'the oldest are forgotten');
  assert.equal((await login('traveller', PASSWORD, addresses[2])).status, 200);
  const month = 30 * 86_400 + 60;
  uaa.ahead(month);
  await guess('traveller', 5);
  assert.deepEqual((await login('traveller', PASSWORD, addresses[11])).body, LOCKED);
  uaa.ahead(0);
});

test('SECURITY 19: the old password is guessed no more freely than at the login', async () => {
  const id = await uaa.createUser('stolen');
  const token = await uaa.login('stolen', PASSWORD);
  const change = (oldPassword: string) =>
    uaa.call('PUT', `/Users/${id}/password`, { token, json: { oldPassword, password: 'another long password' } });
  for (let attempt = 0; attempt < 5; attempt += 1) assert.equal((await change('guess')).body.error_description, BAD);
  assert.deepEqual((await change(PASSWORD)).body, LOCKED);
});

test('an administrator unlocks a name, for strangers and where its holder is known', async () => {
  const id = await uaa.createUser('unlocked');
  assert.equal((await login('unlocked', PASSWORD, HOME)).status, 200);
  for (const address of [HOME, STRANGER]) await guess('unlocked', 5, address);
  const token = await uaa.adminToken();
  const status = (json: unknown, of = id, by = token) => uaa.call('PATCH', `/Users/${of}/status`, { token: by, json });
  const answer = await status({ locked: false });
  assert.deepEqual([answer.status, answer.body], [200, { locked: false }]);
  for (const address of [HOME, STRANGER]) assert.equal((await login('unlocked', PASSWORD, address)).status, 200);
  for (const json of [{ locked: true }, { passwordChangeRequired: true }, { passwordChangeRequired: false }]) {
    const refused = await status(json);
    assert.deepEqual([refused.status, refused.body.error], [400, 'scim'], JSON.stringify(json));
  }
  assert.equal((await status({ locked: false }, 'none')).status, 404);
  assert.equal(
    (await status({ locked: false }, id, await uaa.login('unlocked', PASSWORD))).status,
    403,
    'not for oneself',
  );
});

test('a correct login by many at the same time is not taken for an attack', async () => {
  await uaa.createUser('shared');
  const logins = await Promise.all(Array.from({ length: 20 }, () => login('shared', PASSWORD)));
  assert.ok(logins.every((answer) => answer.status === 200));
});

/** What bcrypt does, in the order in which it is asked: the operation and the cost of the hash. */
function counting(): Bcrypt & { work: string[] } {
  const work: string[] = [];
  return {
    work,
    hash: (password, options) => {
      work.push(`hash ${options.cost}`);
      return native.hash(password, options);
    },
    verify: (password, stored) => {
      work.push(`verify ${/^\$2[aby]\$(\d\d)\$/.exec(stored)?.[1]}`);
      return native.verify(password, stored);
    },
  };
}

test('SECURITY 19: an unknown name, a wrong password and a user who may not log in cost the same work and get the same answer', async () => {
  await uaa.createUser('working');
  const inactive = await uaa.createUser('resting');
  await uaa.db.updateTable('users').set({ active: false }).where('id', '=', inactive).execute();
  const emptied = await uaa.createUser('without-password');
  await uaa.db.updateTable('users').set({ password_hash: null }).where('id', '=', emptied).execute();
  const bcrypt = counting();
  const services = { ...createServices(uaa.options), passwords: new Passwords(4, bcrypt) };
  const cf = await services.clients.byId('cf');
  assert.ok(cf);
  const tried = async (username: string, password: string) => {
    bcrypt.work.length = 0;
    const form = new Form(new URLSearchParams({ username, password }).toString());
    const shown = await passwordGrant(services, cf, form, { address: STRANGER }).then(
      () => 'let in',
      (error: unknown) => (error instanceof UaaError ? `${error.status} ${JSON.stringify(error.body)}` : error),
    );
    return { shown, work: [...bcrypt.work] };
  };
  await tried('nobody-at-first', 'guess'); // the hash that stands for none is made once
  const refused = {
    shown: `401 ${JSON.stringify({ error: 'unauthorized', error_description: BAD })}`,
    work: ['verify 04'],
  };
  assert.deepEqual(await tried('nobody', 'guess'), refused);
  assert.deepEqual(await tried('working', 'guess'), refused);
  assert.deepEqual(await tried('resting', PASSWORD), refused);
  assert.deepEqual(await tried('without-password', PASSWORD), refused);
  assert.deepEqual(await tried('working', 'x'.repeat(100)), refused);
  assert.deepEqual(await tried('working', PASSWORD), { shown: 'let in', work: ['verify 04'] });
});

test('SECURITY 19: an unknown client and a wrong secret cost the same work and get the same answer', async () => {
  const bcrypt = counting();
  const { clients } = createServices(uaa.options);
  const { ClientSecrets } = await import('../../../src/uaa/clients/secrets.ts');
  const secrets = new ClientSecrets(clients, new Passwords(4, bcrypt));
  const tried = async (id: string, secret: string) => {
    bcrypt.work.length = 0;
    await assert.rejects(secrets.authenticate({ id, secret }, { address: STRANGER }), {
      kind: 'invalid_client',
      description: BAD,
    });
    return [...bcrypt.work];
  };
  await tried('nobody-at-first', 'guess');
  assert.deepEqual(await tried('nobody', 'guess'), ['verify 04']);
  assert.deepEqual(await tried('cloud_controller', 'guess'), ['verify 04']);
  assert.ok(await secrets.authenticate({ id: 'cloud_controller', secret: CC_SECRET }, { address: STRANGER }));
});

test('the administrator of the first start logs in while strangers guess', async () => {
  assert.equal((await login('admin', ADMIN_PASSWORD, HOME)).status, 200);
  await guess('admin', 5);
  assert.equal((await login('admin', ADMIN_PASSWORD, HOME)).status, 200);
});
