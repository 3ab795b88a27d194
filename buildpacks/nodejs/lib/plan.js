// Reads an app's package.json and prints what the buildpack does with it, as NAME=value lines a shell reads.

const { existsSync, readFileSync } = require('node:fs');
const { dirname, join } = require('node:path');
const semver = require(join(dirname(process.execPath), '../lib/node_modules/npm/node_modules/semver'));

function refuse(message) {
  process.stderr.write(`       ${message}\n`);
  process.exit(1);
}

function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8').replace(/^\uFEFF/, ''));
  } catch (error) {
    return refuse(`${file} could not be read: ${error.message}`);
  }
}

function isObject(value) {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

const [, , file, vendored] = process.argv;
const build = dirname(file);
const description = existsSync(file) ? readJson(file) : {}; // beside another buildpack only Node.js may be wanted
if (!isObject(description)) refuse('package.json is not an object');
const scripts = isObject(description.scripts) ? description.scripts : {};

/** The range of engines.node, "" where any version will do. */
function range() {
  const wanted = isObject(description.engines) ? description.engines.node : undefined;
  if (wanted === undefined || wanted === '') return '';
  const valid = typeof wanted === 'string' && wanted.length < 200 ? semver.validRange(wanted) : null;
  if (valid === null) refuse('engines.node in package.json is not a version range');
  return valid === '*' ? '' : valid;
}

const DEPENDENCIES = ['dependencies', 'devDependencies', 'optionalDependencies', 'peerDependencies'];

function hasDependencies() {
  return (
    description.workspaces !== undefined ||
    DEPENDENCIES.some((kind) => isObject(description[kind]) && Object.keys(description[kind]).length > 0)
  );
}

/**
 * Whether the same lock file always gives the same node_modules: no scripts of the app take part, nothing outside the lock, and no
 * other lock file, whose manager may be there the next time.
 */
function isCacheable() {
  if (['yarn.lock', 'pnpm-lock.yaml'].some((name) => existsSync(join(build, name)))) return false;
  const lock = ['npm-shrinkwrap.json', 'package-lock.json'].map((name) => join(build, name)).find(existsSync);
  if (lock === undefined || description.workspaces !== undefined) return false;
  const ownScripts = /^(pre|post)?(install|prepare|prepublish|rebuild)$|^heroku-/;
  if (Object.keys(scripts).some((name) => ownScripts.test(name))) return false;
  const packages = readJson(lock).packages;
  if (!isObject(packages)) return false;
  return !Object.values(packages).some(
    (entry) => isObject(entry) && (entry.link === true || /^file:/.test(entry.resolved ?? '')),
  );
}

/** packageManager: "yarn@1.22.22" or "pnpm@9.15.0", without its digest; "" where it says nothing plain. */
function manager() {
  const named = description.packageManager;
  const match = typeof named === 'string' ? /^((?:yarn|pnpm)@\d{1,4}\.\d{1,4}\.\d{1,4})(?:\+|$)/.exec(named) : null;
  return match === null ? '' : match[1];
}

/** The start command: the program itself where `npm start` would start one plain node program. */
function start() {
  const command = scripts.start;
  if (command === undefined) return existsSync(join(build, 'server.js')) ? 'node server.js' : 'npm start';
  const plain = typeof command === 'string' && /^node(?: +[A-Za-z0-9_./=@:+-]+)+$/.test(command);
  return plain && scripts.prestart === undefined && scripts.poststart === undefined ? command : 'npm start';
}

const wanted = range();
const answer = (yes) => (yes ? 'yes' : 'no');
process.stdout.write(
  `${[
    `PLAN_RANGE=${wanted}`,
    `PLAN_MANAGER=${manager()}`,
    `PLAN_VENDORED=${answer(wanted === '' || semver.satisfies(vendored, wanted))}`,
    `PLAN_DEPENDENCIES=${answer(hasDependencies())}`,
    `PLAN_PREBUILD=${answer(typeof scripts['heroku-prebuild'] === 'string')}`,
    `PLAN_POSTBUILD=${answer(typeof scripts['heroku-postbuild'] === 'string')}`,
    `PLAN_CACHEABLE=${answer(isCacheable())}`,
    `PLAN_START=${JSON.stringify(start())}`,
  ].join('\n')}\n`,
);
