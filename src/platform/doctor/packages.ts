import { run } from '../../kit/process.ts';
import { inPath, missingPackages } from '../host/packages.ts';
import { type Finding, findingsOf } from './finding.ts';

const { ok, warn, fail } = findingsOf('packages');

interface Engine {
  name: string;
  command: () => string;
  args: readonly string[];
  /** The version in what it says. */
  version: RegExp;
  least: readonly [number, number];
}

const ENGINES: readonly Engine[] = [
  { name: 'nftables', command: () => 'nft', args: ['--version'], version: /v(\d+)\.(\d+)/, least: [1, 0] },
  { name: 'OpenSSL', command: () => 'openssl', args: ['version'], version: /OpenSSL (\d+)\.(\d+)/, least: [3, 0] },
];

/** Versions of the machine's own programs, and what the next `up` installs. */
export async function packageFindings(): Promise<Finding[]> {
  const missing = missingPackages();
  const engines = await Promise.all(ENGINES.map(look));
  const node = process.versions.node;
  const installs = `missing: ${missing.join(', ')}`;
  return [
    Number.parseInt(node, 10) >= 26 ? ok('Node.js', node) : fail('Node.js', node, 'use Node.js 26 or newer'),
    ...engines,
    missing.length === 0
      ? ok('all packages', 'there')
      : inPath('apt-get')
        ? warn('all packages', installs, './cupola up installs them')
        : fail('all packages', installs, 'this machine has no apt-get: install them by hand'),
  ];
}

async function look({ name, command, args, version, least }: Engine): Promise<Finding> {
  let said: string;
  try {
    said = await run(command(), args, { timeoutMs: 10_000 });
  } catch {
    return warn(name, 'not installed', './cupola up installs it');
  }
  const [text, major, minor] = version.exec(said) ?? [];
  if (text === undefined) return warn(name, 'of an unknown version', `${least.join('.')} or newer is needed`);
  const enough = Number(major) > least[0] || (Number(major) === least[0] && Number(minor) >= least[1]);
  const found = `${major}.${minor}`;
  return enough ? ok(name, found) : fail(name, found, `${least.join('.')} or newer is needed`);
}
