import { resolve } from 'node:path';
import Type from 'typebox';
import { DEFAULT_SEPARATE } from '../roles/cut.ts';
import { SEPARABLE } from '../roles/names.ts';
import { withRegistries, withRequests, withStagingEnvironment, withStorage } from './changes.ts';
import { DOMAIN, LONGEST_DOMAIN, plainDomain } from './domain.ts';
import { option, type SettingName, type SettingOption, type SettingValues } from './option.ts';
import { CellCount, MOST_CELLS, Port, SeparableRole } from './schema.ts';
import { commaSeparated, list, onOrOff, tagsByCell, text, variables, whole } from './words.ts';

export const DEFAULT_DOMAIN = 'cupola.localhost';
export const DEFAULT_BIND_ADDRESS = '127.0.0.1';
export const DEFAULT_HTTPS_PORT = 443;
/** Beside HTTPS on its own port; else a free one. */
export const DEFAULT_SSH_PORT = 2222;

const Text = Type.String({ minLength: 1 });
const Domain = Type.String({ pattern: DOMAIN, maxLength: LONGEST_DOMAIN });
const Megabytes = Type.Integer({ minimum: 1, maximum: 1_000_000_000 });
/** Below this a person's own `cf push` would be refused. */
const FEWEST_REQUESTS = 60;
const Requests = Type.Integer({ minimum: FEWEST_REQUESTS, maximum: 1_000_000_000 });
const Registry = Type.String({ pattern: '^([A-Za-z0-9][A-Za-z0-9.-]*|\\[[0-9A-Fa-f:]+\\])(:\\d{1,5})?$' });

const AptLine = Type.String({
  pattern: '^deb (\\[signed-by=/[^\\]\\s]+\\] )?https?://[^\\s\\[\\]]+( [A-Za-z0-9./_-]+)+$',
});

const ONE_PORT = '1 to 65535';
const SOME_MEGABYTES = '1 to 1000000000';
const SOME_REQUESTS = `at least ${FEWEST_REQUESTS} requests a minute`;

/** All of them, in the order in which they are shown. What no option sets is chosen at the installation. */
export const SETTING_OPTIONS: { readonly [Name in SettingName]: SettingOption<SettingValues[Name]> } = {
  domain: option(Domain, {
    flag: 'domain',
    takes: 'D',
    help: 'the platform and its apps are below this domain',
    setting: 'domain',
    unlessTold: DEFAULT_DOMAIN,
    accepts: `a domain name, e.g. apps.example.com: letters, digits, "-", "_" and dots, at most ${LONGEST_DOMAIN}, and no IP address`,
    read: (words) => plainDomain(text(words) ?? ''),
    // An earlier version kept it as it was written.
    afterwards: { kept: ({ domain }) => plainDomain(domain) },
  }),
  bindAddress: option(Text, {
    flag: 'bind',
    takes: 'ADDR',
    help: 'the address where clients come; 0.0.0.0 for all of the machine',
    setting: 'bindAddress',
    unlessTold: DEFAULT_BIND_ADDRESS,
    accepts: 'an address',
    read: text,
    afterwards: { kept: ({ bindAddress }) => bindAddress },
  }),
  httpsPort: option(Port, {
    flag: 'https-port',
    takes: 'N',
    help: 'the port of the API and of apps; 443 also opens 80 for apps',
    setting: 'httpsPort',
    unlessTold: String(DEFAULT_HTTPS_PORT),
    accepts: ONE_PORT,
    read: whole,
    afterwards: { kept: ({ httpsPort }) => httpsPort },
  }),
  cells: option(CellCount, {
    flag: 'cells',
    takes: 'N',
    help: 'how many cells run containers',
    setting: 'cells',
    unlessTold: '1',
    accepts: `1 to ${MOST_CELLS}`,
    read: whole,
    afterwards: { kept: ({ cells }) => cells },
  }),
  zones: option(CellCount, {
    flag: 'zones',
    takes: 'N',
    help: 'over how many zones the cells are dealt out; at most as many as cells',
    setting: 'zones',
    unlessTold: '1',
    accepts: `1 to ${MOST_CELLS}, and no more than there are cells`,
    read: whole,
    afterwards: { kept: ({ zones }) => zones },
  }),
  cellTags: option(Type.Array(Type.Array(Text)), {
    flag: 'cell-tags',
    takes: 'CELL=TAG,…',
    help: 'cells of isolation segments: each takes what its tags name, and nothing else',
    setting: 'cellTags',
    unlessTold: 'none',
    accepts: 'CELL=TAG,…, e.g. cell-1=secure, of cells that there are',
    read: tagsByCell,
    afterwards: { kept: ({ cellTags }) => cellTags },
  }),
  ssh: option(Type.Boolean(), {
    flag: 'ssh',
    takes: 'on|off',
    help: 'off: nobody opens a session in an app, whatever space and app say',
    setting: 'sshPort',
    unlessTold: 'on',
    accepts: 'on or off',
    read: onOrOff,
    // A port is chosen before, where it is switched on.
    afterwards: { set: (settings, on) => (on ? settings : { ...settings, sshPort: null }) },
  }),
  sshPort: option(Port, {
    flag: 'ssh-port',
    takes: 'N',
    help: 'where SSH clients come; free to choose whenever `cf ssh` is switched on',
    setting: 'sshPort',
    unlessTold: `${DEFAULT_SSH_PORT} beside HTTPS on 443, else a free one`,
    accepts: ONE_PORT,
    read: whole,
    afterwards: { kept: ({ sshPort }) => sshPort },
  }),
  http2Apps: option(Type.Boolean(), {
    flag: 'http2-apps',
    takes: 'on|off',
    help: 'speak HTTP/2 to apps that ask for it',
    setting: 'http2Apps',
    unlessTold: 'off',
    accepts: 'on or off',
    read: onOrOff,
    afterwards: { set: (settings, http2Apps) => ({ ...settings, http2Apps }) },
  }),
  unpackAhead: option(Type.Boolean(), {
    flag: 'unpack-ahead',
    takes: 'on|off',
    help: 'off: a cell unpacks a buildpack when a staging needs it first, and not as it starts',
    setting: 'unpackAhead',
    unlessTold: 'on',
    accepts: 'on or off',
    read: onOrOff,
    afterwards: { set: (settings, unpackAhead) => ({ ...settings, unpackAhead }) },
  }),
  engineSources: option(Type.Array(AptLine), {
    flag: 'engine-source',
    takes: 'LINE',
    many: true,
    help: "where engines come from that Debian's stable has too old: a line for apt",
    setting: 'engineSources',
    unlessTold: "Debian's testing",
    accepts: 'a line of sources.list, e.g. "deb [signed-by=/etc/keys.gpg] https://packages.example.com trixie main"',
    read: list,
    afterwards: { set: (settings, engineSources) => ({ ...settings, engineSources }) },
  }),
  separateRoles: option(Type.Array(SeparableRole), {
    flag: 'separate-roles',
    takes: 'ROLE,…',
    help: "roles of control that have a process of their own: each costs memory, and takes no other's time",
    setting: 'separateRoles',
    unlessTold: DEFAULT_SEPARATE.join(',') || 'none',
    accepts: `none, or ROLE,… of ${SEPARABLE.join(', ')}`,
    read: commaSeparated,
    afterwards: { set: (settings, separateRoles) => ({ ...settings, separateRoles }) },
  }),
  keyFile: option(Text, {
    flag: 'key-file',
    takes: 'FILE',
    help: 'opens the sealed secrets; made where there is none, and never removed where you named it',
    setting: 'keyFile',
    unlessTold: '`key` in the data directory',
    accepts: 'a file',
    read: (words) => resolve(text(words) ?? ''),
    afterwards: { kept: ({ keyFile }) => keyFile },
  }),
  stagingEnvironment: option(Type.Record(Type.String(), Type.String()), {
    flag: 'staging-env',
    takes: 'NAME=VALUE',
    many: true,
    help: "a variable for every staging container, over what the machine's registries and proxies say; an empty value takes it away",
    setting: 'stagingEnvironment',
    unlessTold: 'none',
    accepts: 'NAME=VALUE', // never what was said: a value may hold a password
    read: variables,
    afterwards: { set: withStagingEnvironment },
  }),
  allowedRegistries: option(Type.Array(Registry), {
    flag: 'allow-registry',
    takes: 'HOST[:PORT]',
    many: true,
    help: 'a container registry that may be at an internal address',
    setting: 'docker.allowedRegistries',
    unlessTold: 'none',
    accepts: 'the host (and port) of a registry',
    read: list,
    afterwards: { set: (settings, allowedRegistries) => withRegistries(settings, { allowedRegistries }) },
  }),
  insecureRegistries: option(Type.Array(Registry), {
    flag: 'insecure-registry',
    takes: 'HOST:PORT',
    many: true,
    help: 'the same for one that is spoken to over plain HTTP',
    setting: 'docker.insecureRegistries',
    unlessTold: 'none',
    accepts: 'the host (and port) of a registry',
    read: list,
    afterwards: { set: (settings, insecureRegistries) => withRegistries(settings, { insecureRegistries }) },
  }),
  organizationStorage: option(Megabytes, {
    flag: 'org-storage',
    takes: 'MB',
    help: 'packages, droplets, buildpack caches and matched files of one organization together',
    setting: 'storage.perOrganization',
    unlessTold: '20480',
    accepts: SOME_MEGABYTES,
    read: whole,
    afterwards: { set: (settings, perOrganization) => withStorage(settings, { perOrganization }) },
  }),
  diskReserve: option(Megabytes, {
    flag: 'disk-reserve',
    takes: 'MB',
    help: 'what all leave free on the disk of the data directory, which PostgreSQL shares',
    setting: 'storage.reserve',
    unlessTold: '5 %, at most 4096',
    accepts: SOME_MEGABYTES,
    read: whole,
    afterwards: { set: (settings, reserve) => withStorage(settings, { reserve }) },
  }),
  maximumAppDisk: option(Megabytes, {
    flag: 'max-app-disk',
    takes: 'MB',
    help: 'the disk that a process, a task or a staging may ask for',
    setting: 'storage.maximumAppDisk',
    unlessTold: '2048 (staging: 6144)',
    accepts: SOME_MEGABYTES,
    read: whole,
    afterwards: { set: (settings, maximumAppDisk) => withStorage(settings, { maximumAppDisk }) },
  }),
  userRequests: option(Requests, {
    flag: 'user-requests',
    takes: 'N',
    help: 'requests a minute of one user, or client, to the API',
    setting: 'requests.perCaller',
    unlessTold: '20000',
    accepts: SOME_REQUESTS,
    read: whole,
    afterwards: { set: (settings, perCaller) => withRequests(settings, { perCaller }) },
  }),
  anonymousRequests: option(Requests, {
    flag: 'anonymous-requests',
    takes: 'N',
    help: 'requests a minute of one address that carry no token or none that is good',
    setting: 'requests.perAddress',
    unlessTold: '6000',
    accepts: SOME_REQUESTS,
    read: whole,
    afterwards: { set: (settings, perAddress) => withRequests(settings, { perAddress }) },
  }),
};
