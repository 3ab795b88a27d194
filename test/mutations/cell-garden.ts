import { type Change, noticedBy } from './mutation.ts';

const LAYERS = 'cell/garden/layers.ts';
const ENDING = 'linkSignals(ending.signal, ...(signal ? [signal] : []))';
const RULES = 'cell/network/ruleset.ts';
const SECCOMP = 'cell/garden/seccomp.ts';
const STORE = 'cell/images/image-store.ts';
const SPEC = 'cell/garden/oci-spec.ts';

/** Of containers and what they may, and of what is unpacked in them. */
export const cellGarden = [
  ...noticedBy('test/integration/cell/garden-layers.test.ts', [
    [
      'SECURITY 25: a layer has room for files',
      'cell/garden/unpacking.ts',
      'Math.min(EMPTY_FILES + Math.ceil(bytes / BLOCK_BYTES), MOST_INODES)',
      'MOST_INODES',
    ],
    [
      'SECURITY 24: a bomb ends',
      'cell/garden/create-garden.ts',
      'diskBytes: settings.layerLimitBytes ?? 6 * GIB',
      'diskBytes: 6 * GIB',
    ],
    ['SECURITY 24: a bomb ends', LAYERS, 'limits.diskBytes = Math.min(limits.diskBytes, this.#limits.diskBytes);', ''],
    [
      'SECURITY 24: an archive that has more',
      LAYERS,
      'const limits = { ...this.#limits, ...wanted };',
      'const limits = { ...this.#limits };',
    ],
    [
      'SECURITY 25: where the disk has no room',
      LAYERS,
      'if (!(await this.#hasRoom())) throw noRoom();\n    const ending',
      'const ending',
    ],
    ['SECURITY 25: where the disk has no room', LAYERS, 'ending.abort(noRoom());', 'looks.hasRef();'],
    ['SECURITY 32: an unpacking has', LAYERS, ENDING, 'linkSignals(ending.signal)'],
    [
      'SECURITY 32: an unpacking has',
      'cell/garden/unpacking.ts',
      '    limits,\n    limitsSwap',
      '    limits: { ...limits, memoryBytes: 1024 ** 3, cpuShares: 1024 },\n    limitsSwap',
    ],
  ]),
  ...noticedBy('test/unit/cell/layers.test.ts', [
    ['SECURITY 32: a layer on its way', LAYERS, 'making.origin === origin && ', ''],
    ['SECURITY 32: nobody waits', LAYERS, 'one.memoryBytes <= other.memoryBytes && ', ''],
    ['SECURITY 32: nobody waits', LAYERS, 'one.diskBytes <= other.diskBytes && ', ''],
    ['SECURITY 32: nobody waits', LAYERS, ' && one.cpuShares <= other.cpuShares', ''],
    ['SECURITY 32: an unpacking ends', LAYERS, ENDING, 'linkSignals(ending.signal)'],
    ['SECURITY 32: an unpacking ends', LAYERS, 'if (!making.signal?.aborted) throw error;', 'throw error;'],
    ['SECURITY 32: an unpacking that takes longer', LAYERS, '}, this.#makingMs);', '}, 2 * this.#makingMs);'],
    ['SECURITY 25: a layer stays', LAYERS, 'this.#held.has(key) || ', ''],
    [
      'SECURITY 25: a layer stays',
      LAYERS,
      'if (holders.size === 0) this.#held.delete(key);',
      'this.#held.delete(key);',
    ],
    ['SECURITY 25: who needs room', LAYERS, 'this.#pruned.then(() => this.#prune(isKept))', 'this.#prune(isKept)'],
  ]),
  ...noticedBy('test/unit/cell/buildpack-layers.test.ts', [
    [
      'SECURITY 32: a download that the blobstore does not answer',
      'cell/staging/buildpack-layers.ts',
      'blobs.fetch(blob, signal)',
      'blobs.fetch(blob, until)',
    ],
    [
      'SECURITY 32: a staging that is cancelled',
      'cell/staging/buildpack-layers.ts',
      'unlessAborted(ensure(garden, buildpackDirectory(buildpack), source, stack, { until }), until)',
      'ensure(garden, buildpackDirectory(buildpack), source, stack, { until })',
    ],
    [
      'SECURITY 32: a staging that is cancelled',
      'cell/staging/buildpack-layers.ts',
      'source, stack, { until })',
      'source, stack, { signal: until })',
    ],
  ]),
  ...noticedBy('test/unit/cell/layer-use.test.ts', [
    ['SECURITY 25: of the layers of images', 'cell/rep/layer-use.ts', 'images.slice(0, -MOST_IMAGE_LAYERS)', '[]'],
    [
      'SECURITY 25: of the layers of images',
      'cell/rep/layer-use.ts',
      '    this.#used.delete(key);\n    this',
      '    this',
    ],
    [
      'SECURITY 25: where the disk has no room',
      'cell/rep/layer-use.ts',
      'await unlessAborted(this.#garden.pruneLayers(), wanted?.signal);',
      '',
    ],
  ]),
  ...noticedBy('test/unit/cell/rep.test.ts', [
    [
      'SECURITY 32: an instance that is stopped',
      'cell/rep/lrp-instance.ts',
      'blockSignal(this.#stopping.signal, this.#detached.signal)',
      'blockSignal(this.#detached.signal)',
    ],
    [
      'SECURITY 32: an instance that another',
      'cell/rep/lrp-instance.ts',
      'blockSignal(this.#stopping.signal, this.#detached.signal)',
      'blockSignal(this.#stopping.signal)',
    ],
    [
      'SECURITY 32: a task that is cancelled',
      'cell/rep/task-run.ts',
      'blockSignal(this.#cancelling.signal)',
      'blockSignal(this.#detached.signal)',
    ],
    ['SECURITY 32: an instance that another', 'kit/abort.ts', '      left.abort();\n', ''],
    ['SECURITY 25: a start holds', 'kit/abort.ts', '      left.abort();\n', ''],
    [
      'SECURITY 32: a droplet and the layers',
      'cell/rep/runnable.ts',
      'Math.max(memoryMb, LEAST_MEMORY_MB)',
      'memoryMb',
    ],
    [
      'SECURITY 32: a droplet and the layers',
      'cell/rep/runnable.ts',
      'LEAST_MEMORY_MB), diskMb)',
      'LEAST_MEMORY_MB), Math.max(diskMb, 1024))',
    ],
    [
      'SECURITY 32: a droplet and the layers',
      'cell/rep/runnable.ts',
      'limits: layerLimits(work.memoryMb, work.diskMb)',
      'limits: {}',
    ],
    ['SECURITY 32: a droplet and the layers', STORE, 'diskBytes: _, ', ''],
    ['SECURITY 32: a droplet and the layers', STORE, 'Math.floor(memoryBytes / AT_ONCE)', 'memoryBytes'],
    ['SECURITY 32: a droplet and the layers', STORE, 'Math.floor(cpuShares / AT_ONCE)', 'cpuShares'],
  ]),
  ...noticedBy('test/unit/cell/image-store.test.ts', [
    ['SECURITY 32: a layer on its way', STORE, '[registry, repository, username, password]', '[registry, repository]'],
    ['SECURITY 32: a layer on its way', STORE, '[registry, repository, username, password]', '[username, password]'],
    [
      'SECURITY 32: a start that ends',
      STORE,
      'linkSignals(AbortSignal.timeout(FETCH_MS), until)',
      'linkSignals(AbortSignal.timeout(FETCH_MS))',
    ],
    ['SECURITY 32: a start that ends', STORE, '{ signal, until, limits', '{ signal, limits'],
  ]),
  ...noticedBy('test/integration/cell/garden-isolation.test.ts', [
    [
      'CTR-01: an app has no capability',
      SPEC,
      ': NO_CAPABILITIES,\n    rlimits',
      ": sameFor(['bounding'], ROOT_CAPABILITIES),\n    rlimits",
    ],
    ['CTR-01: an app has no capability', SPEC, 'noNewPrivileges: true', 'noNewPrivileges: false'],
    ['CTR-01: an app has no capability', SPEC, 'seccomp: options.seccomp,', ''],
    ['CTR-01: seccomp refuses a user namespace', SECCOMP, "...['unshare', 'setns',", "...['setns',"],
    [
      'CTR-01: seccomp refuses a user namespace by clone',
      SECCOMP,
      'CLONE_NEW_ANYTHING = 0x7e020000',
      'CLONE_NEW_ANYTHING = 0x6e020000',
    ],
    [
      'CTR-01: seccomp refuses clone3',
      SECCOMP,
      "{ names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS },",
      "{ names: ['clone3'], action: 'SCMP_ACT_ALLOW' },",
    ],
    [
      'CTR-01: seccomp refuses a mount',
      SECCOMP,
      '{ names: REFUSED, action',
      "{ names: REFUSED.filter((name) => name !== 'mount'), action",
    ],
    [
      'CTR-01: only Unix, IP and route sockets',
      SECCOMP,
      'args: [equals(0, FAMILY.netlink), equals(2, NETLINK_ROUTE)]',
      'args: [equals(0, FAMILY.netlink)]',
    ],
    [
      'CTR-01: only Unix, IP and route sockets',
      SECCOMP,
      '[FAMILY.unix, FAMILY.inet, FAMILY.inet6]',
      '[FAMILY.unix, FAMILY.inet, FAMILY.inet6, 17]',
    ],
    [
      'CTR-01: only Unix, IP and route sockets',
      SECCOMP,
      '[FAMILY.unix, FAMILY.inet, FAMILY.inet6]',
      '[FAMILY.unix, FAMILY.inet, FAMILY.inet6, 40]',
    ],
    ['CTR-01: two containers have uid ranges', SPEC, "'CAP_SETUID'];", "'CAP_SETUID', 'CAP_SYS_ADMIN'];"],
    ['CTR-01: it is refused that forwarding', SPEC, "'/proc/sys', '/proc/sysrq-trigger'", "'/proc/sysrq-trigger'"],
    [
      'CTR-01: it is refused that the core pattern',
      SPEC,
      "'/proc/sys', '/proc/sysrq-trigger'",
      "'/proc/sysrq-trigger'",
    ],
    [
      'CTR-01: it is refused that its limit',
      SPEC,
      "source: 'cgroup', options: [...quiet, 'ro']",
      "source: 'cgroup', options: quiet",
    ],
    [
      'CTR-01: it is refused that the init process is ended',
      SPEC,
      "workingDirectory, user: 'root' });",
      "workingDirectory, user: 'vcap' });",
    ],
    [
      'CTR-01: it is refused that the init process’s root',
      SPEC,
      "workingDirectory, user: 'root' });",
      "workingDirectory, user: 'vcap' });",
    ],
    ['CTR-01: the kernel’s secrets are masked', SPEC, 'maskedPaths: MASKED', 'maskedPaths: []'],
    [
      'SECURITY 28: the environment of a process',
      'cell/garden/processes.ts',
      "await rm(files.spec, { force: true }); // it holds the app's environment",
      '',
    ],
  ]),
  ...noticedBy('test/integration/cell/garden-network.test.ts', [
    [
      'SECURITY 33: what is for a container',
      'cell/network/host.ts',
      'await closeRange(settings.range, directory);',
      '',
    ],
    ['SECURITY 33: even with', RULES, 'ip daddr ${overlay} goto between', 'ip daddr 192.0.2.1 goto between'],
    ['NET-01, SECURITY 33: the router inside', RULES, '} ip saddr vmap @egress\n`', '} accept\n`'],
    [
      'NET-01, SECURITY 33: the router inside',
      RULES,
      'tcp dport { ${router.ports.join',
      'tcp dport { 1-65535, ${router.ports.join',
    ],
    [
      'SECURITY 33: a packet with another source address',
      RULES,
      'chain from_container {\n    meta nfproto ipv6 drop\n    iifname . ip saddr != @bind drop\n',
      'chain from_container {\n    meta nfproto ipv6 drop\n',
    ],
  ]),
  ...noticedBy('test/integration/cell/garden-sessions.test.ts', [
    [
      'SECURITY 30: it has a bounded number of sessions',
      'cell/garden/container.ts',
      'const SESSIONS = 100;',
      'const SESSIONS = 1000;',
    ],
    [
      'SECURITY-TESTS 33: are refused',
      RULES,
      'th dport @c2c accept\n    goto denied',
      'th dport @c2c accept\n    accept',
    ],
    ...(
      [
        ['noNewPrivileges: true', 'noNewPrivileges: false'],
        ['seccomp: options.seccomp,', ''],
        [': NO_CAPABILITIES,\n    rlimits', ": sameFor(['bounding'], ROOT_CAPABILITIES),\n    rlimits"],
        ['{ uid: VCAP, gid: VCAP }', '{ uid: VCAP + 1, gid: VCAP }'],
        ['{ uid: VCAP, gid: VCAP }', '{ uid: VCAP, gid: 0 }'],
      ] as const
    ).map(([from, to]): Change => ['SECURITY 22, 31: its process', SPEC, from, to]),
    [
      'SECURITY 22, 31: its process',
      'cell/garden/sessions.ts',
      '{ ...processSpec(spec), terminal',
      "{ ...processSpec({ ...spec, user: 'root' }), terminal",
    ],
    [
      'SECURITY 22, 31: its process',
      'cell/garden/sessions.ts',
      '{ ...processSpec(spec), terminal',
      '{ ...processSpec(spec), noNewPrivileges: spec.terminal === undefined, terminal',
    ],
    [
      'SECURITY 22, 31: its process',
      SECCOMP,
      '{ names: REFUSED, action',
      "{ names: ['unshare'], action: 'SCMP_ACT_ALLOW' },\n    { names: REFUSED.filter((name) => name !== 'unshare'), action",
    ],
  ]),
];
