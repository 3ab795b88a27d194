import { noticedBy } from './mutation.ts';

const FILES = 'cell/garden/layer-files.ts';
const INSTANCE = 'cell/rep/lrp-instance.ts';
const LAUNCHER = 'cell/staging/lifecycle/launcher';
const SCALAR = 'cell/staging/lifecycle/scalar.sh';
const REP = 'cell/rep/rep.ts';
const RULES = 'cell/network/ruleset.ts';
const SHARED_TREE = 'kit/shared-tree.ts';

export const cell = [
  ...noticedBy('test/unit/cell/rep-staging.test.ts', [
    [
      'SECURITY 32: stagings of one organization',
      'cell/rep/task-run.ts',
      "this.#task.owner?.organizationGuid ?? ''",
      "''",
    ],
  ]),
  ...noticedBy('test/unit/cell/blobs.test.ts', [
    ['SECURITY 32: droplets that nobody reads', 'cell/rep/blobs.ts', 'maxFreeSockets: 16', 'maxSockets: 16'],
  ]),
  ...noticedBy('test/unit/cell/cgroups.test.ts', [
    ['SECURITY 32: a group ends with', 'cell/garden/cgroups.ts', '    await killTree(path);\n', ''],
  ]),
  ...noticedBy('test/unit/cell/dial.test.ts', [
    [
      'SECURITY 25: a container whose name service',
      'cell/garden/dial.ts',
      'mostBytes: MOST_ANSWER_BYTES',
      'mostBytes: Number.POSITIVE_INFINITY',
    ],
  ]),
  ...noticedBy('test/unit/cell/stack.test.ts', [
    ['CTR-04: is shared where nobody but root', SHARED_TREE, '[dirname(home), home, tree]', '[home, tree]'],
    ['CTR-04: is shared where nobody but root', SHARED_TREE, ' && one.uid === 0', ''],
    ['CTR-04: is shared where nobody but root', SHARED_TREE, ' && (one.mode & others) === 0', ''],
    ['is taken without a file beside it', SHARED_TREE, "join(target, 'probe')", 'String(`${target}.probe`)'],
  ]),
  ...noticedBy('test/integration/cell/stack.test.ts', [
    [
      'one of which not all can be shared',
      SHARED_TREE,
      'await rm(join(target, tree.slice(dirname(tree).length + 1)), { recursive: true, force: true });\n',
      'return;',
    ],
  ]),
  ...noticedBy('test/unit/cell/network.test.ts', [
    ['SECURITY 33: of this machine', RULES, '} ip saddr vmap @egress\n`', '} accept\n`'],
    ['SECURITY 33: of this machine', RULES, 'ip daddr ${overlay} goto between', 'ip daddr ${range} goto between'],
    [
      'SECURITY 33: a packet of a container',
      RULES,
      'chain from_container {\n    meta nfproto ipv6 drop\n    iifname . ip saddr != @bind drop\n',
      'chain from_container {\n    meta nfproto ipv6 drop\n',
    ],
    [
      'SECURITY 33: a packet of a container',
      RULES,
      'chain to_host {\n    meta nfproto ipv6 drop\n    iifname . ip saddr != @bind drop\n',
      'chain to_host {\n    meta nfproto ipv6 drop\n',
    ],
  ]),
  ...noticedBy('test/unit/cell/launcher.test.ts', [
    ['SECURITY 25: a staging_info.yml', LAUNCHER, 'head -c 65536', 'head -c 655360'],
    ['SECURITY 25: a staging_info.yml', SCALAR, '[[ ${rest:0:4} =~ $hex ]] || return 1', ''],
    ['SECURITY 25: a staging_info.yml', SCALAR, '!= [\\|\\>\\[{\\&*!\\#]*', '!= nothing'],
  ]),
  ...noticedBy('test/unit/cell/layer-files.test.ts', [
    ['SECURITY 24: what an archive left', FILES, 'if (name !== part) await rm', 'if (name === part) await rm'],
    [
      'SECURITY 24: what an archive left',
      FILES,
      "if (!found.isDirectory()) throw new CupolaError('archive_refused'",
      "if (false) throw new CupolaError('archive_refused'",
    ],
  ]),
  ...noticedBy('test/unit/cell/renames.test.ts', [
    ['LOG-01: after a rename', INSTANCE, 'renameOrigin(origin, this.#desired.owner);', ';'],
    ['LOG-01: after a rename', INSTANCE, 'this.#processes.rename(this.#desired.owner);', ''],
    ['a rename concerns the instances', REP, '.filter((instance) => instance.processGuid === processGuid)', ''],
    ['the next cell process', INSTANCE, 'if (this.#container) await this.#keepProperties(this.#container);', ''],
    ['a rename that the cell missed', REP, 'await instance.rename(names);', ';'],
    ['an answer of the registry', REP, 'instance.names === namesBefore.get(instanceGuid)', 'true'],
    ['a rename that comes while', INSTANCE, 'if (desired.owner !== owner) await this.#keepProperties(container);', ''],
  ]),
  ...noticedBy('test/integration/cell/staging-lifecycle.test.ts', [
    ['SECURITY 32: what a buildpack leaves', 'cell/staging/staging.ts', 'await container.endProcesses();', ''],
    ['SECURITY 32: a result that has no end', 'cell/staging/result.ts', 'bytes > MAXIMUM_BYTES || ', ''],
  ]),
  ...noticedBy('test/unit/cell/staging-result.test.ts', [
    ['SECURITY 24: a result of more', 'cell/staging/result.ts', 'bytes > MAXIMUM_BYTES || ', ''],
    ['SECURITY 24: a result of more', 'cell/staging/result.ts', ' || count > MAXIMUM_FILES', ''],
  ]),
  ...noticedBy('test/integration/cell/staging-scripting-buildpacks.test.ts', [
    ['SECURITY 28, 24, 31: a buildpack by address', 'cell/staging/lifecycle/builder', '${address%%[?#]*}', '$address'],
    [
      'SECURITY 28, 24, 31: a buildpack by address',
      'cell/staging/lifecycle/builder',
      'case $address in',
      'case nothing in',
    ],
  ]),
];
