import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Value } from 'typebox/value';
import { compileEgress } from '../../../src/cell/network/egress.ts';
import { renderTable } from '../../../src/cell/network/ruleset.ts';
import { checkRules, type Rule, RuleInput } from '../../../src/cloud-controller/security-groups/rules.ts';
import { run } from '../../../src/kit/process.ts';

const SKIP = process.getuid?.() === 0 ? false : 'needs root';
const TRIES = 3000;
const SEED = Number(process.env['CUPOLA_TEST_SEED'] ?? Date.now() % 1_000_000);

/** Numbers of 0 to 1, the same for the same seed (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const random = randomOf(SEED);
const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)]!;
const some = <T>(most: number, make: () => T): T[] => Array.from({ length: 1 + Math.floor(random() * most) }, make);

const octet = (): string => pick(['0', '1', '9', '10', '127', '169', '224', '254', '255', '256', '08', '00', '']);
const address = (): string => (random() < 0.9 ? some(1, octet) : ['1']).concat(['0', '0', '1']).slice(0, 4).join('.');
const bits = (): string => pick(['0', '1', '8', '08', '31', '32', '33', '032', '', '-1']);
const destination = (): string =>
  pick([
    address,
    () => `${address()}/${bits()}`,
    () => `${address()}-${address()}`,
    () => `0.0.0.0-255.255.255.255`,
    () => `${address()}/${bits()}-${address()}`,
    () => pick(['', ' ', '::1', 'localhost', '0.0.0.0/0; accept', '0x7f.1', '1.2.3']),
  ])();
const number = (): string => pick(['0', '1', '80', '0080', '65535', '65536', '99999', '', ' 53', '53 ', '5 3', '-1']);
const ports = (): string => pick([number, () => `${number()}-${number()}`, () => '1-65535', () => '80 - 90'])();
const icmp = (): number => pick([-2, -1, 0, 3, 8, 255, 256, 1.5]);

/** A rule in the neighbourhood of what is allowed: about half of them are. */
function anyRule(): Rule {
  const protocol = pick(['tcp', 'udp', 'icmp', 'all'] as const);
  const written = random() < 0.9 ? protocol === 'tcp' || protocol === 'udp' : random() < 0.5;
  const message = random() < 0.9 ? protocol === 'icmp' : random() < 0.5;
  return {
    protocol,
    destination: some(3, destination).join(random() < 0.95 ? ',' : ', '),
    ...(written ? { ports: some(3, ports).join(',') } : {}),
    ...(message ? { type: icmp(), code: icmp() } : {}),
    ...(random() < 0.2 ? { log: true } : {}),
  };
}

function isAccepted(rule: Rule): boolean {
  if (!Value.Check(RuleInput, rule)) return false;
  try {
    checkRules([rule]);
    return true;
  } catch {
    return false;
  }
}

test('NET-01: what the API accepts of a security group, the cell renders and nft loads; what it refuses, the cell leaves out', {
  skip: SKIP,
}, async (context) => {
  context.diagnostic(`CUPOLA_TEST_SEED=${SEED}`);
  const rules = Array.from({ length: TRIES }, anyRule);
  // As the recipe of a container has it.
  const plain = rules.map(({ protocol, destination, ports = '', type = 0, code = 0, log = false }) => {
    return { protocol, destination, ports, type, code, log };
  });
  const accepted = plain.filter((_, index) => isAccepted(rules[index]!));
  assert.ok(accepted.length > TRIES / 20 && accepted.length < TRIES / 2, `${accepted.length} of ${TRIES}`);
  for (const rule of accepted) assert.deepEqual(compileEgress([rule]).ignored, [], JSON.stringify(rule));

  const settings = { range: '10.255.1.0/24', gateway: '169.254.1.1', mtu: 1450 };
  const table = (chosen: typeof plain): string =>
    renderTable('tgz', settings, [{ link: 'tgz1', address: '10.255.1.1', chain: compileEgress(chosen) }]);
  await run('nft', ['-c', '-f', '-'], { input: table(accepted) });
  await run('nft', ['-c', '-f', '-'], { input: table(plain) });
  const halves = [accepted.slice(0, 50), accepted.slice(-50)];
  for (const half of halves) await run('nft', ['-c', '-f', '-'], { input: table(half) });
});
