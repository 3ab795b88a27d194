import { noticedBy } from './mutation.ts';

const RULES = 'cell/network/ruleset.ts';

// biome-ignore-start lint/suspicious/noTemplateCurlyInString: the code's own text
export const platform = [
  ...noticedBy('test/unit/platform/engine-image.test.ts', [
    [
      'SECURITY 39: an image that others could have written',
      'platform/engines/image/image.ts',
      ' || (found.mode & 0o022) !== 0',
      '',
    ],
  ]),
  ...noticedBy('test/integration/platform/strays.test.ts', [
    [
      'SECURITY: is ended, and no process of that number in a container',
      'kit/namespaces.ts',
      " && IMAGE.test(readFileSync(`/proc/${pid}/mountinfo`, 'latin1'))",
      '',
    ],
  ]),
  ...noticedBy('test/integration/platform/engine-namespace.test.ts', [
    ['SECURITY 39: nobody within changes the image', 'kit/engines.ts', 'remount,bind,ro,', 'remount,bind,'],
    ['HLT-03: what runs within counts as', 'kit/namespaces.ts', ' || runsOfImage(pid)', ''],
    ['what a garden mounts comes and goes', 'kit/engines.ts', '/run/cupola-*/cell-* | ', ''],
  ]),
  ...noticedBy('test/e2e/cells.test.ts', [
    [
      'SECURITY 33, 34: of the platform an app reaches',
      RULES,
      '}    goto denied\n  }\n  chain name_query',
      '}    accept\n  }\n  chain name_query',
    ],
  ]),
  ...noticedBy('test/unit/kit/owned-files.test.ts', [
    [
      'SECURITY: a link in the place of a directory',
      'kit/owned-files.ts',
      'const directory = opened(path, name, O_RDONLY | O_DIRECTORY);',
      'const directory = openSync(name, O_RDONLY | O_DIRECTORY);',
    ],
    [
      'SECURITY: nothing is made through a directory that another',
      'kit/owned-files.ts',
      'throw unsafe(path, `leads through ${step}, which others may change`);',
      'return;',
    ],
    [
      'SECURITY: nothing is made through a directory that a group',
      'kit/owned-files.ts',
      'WRITE_BY_OTHERS | WRITE_BY_GROUP;',
      'WRITE_BY_OTHERS;',
    ],
    [
      'SECURITY: a directory is named without the links',
      'kit/owned-files.ts',
      'if (!isOwn(stat) || !isOwn(directory) || isOpen(directory)) {',
      'if (links < 0) {',
    ],
    ...(
      [
        ['if (!isOwnAlone(fstatSync(file)) ||', 'if ('],
        [' || isWritable(lstatSync(directory))) {', ') {'],
        ["step === '/' || (!whole && stat && isClosed(stat))", "step === '/' || (stat && isClosed(stat))"],
      ] as const
    ).map(([from, to]) => ['SECURITY: what root alone may have written', 'kit/owned-files.ts', from, to] as const),
    [
      'SECURITY: a socket is given and asked',
      'kit/owned-files.ts',
      '    if (stat.uid !== directory.uid) throw',
      '    if (directory.uid < 0) throw',
    ],
  ]),
  ...noticedBy('test/integration/platform/strays.test.ts', [
    [
      'SECURITY: is ended, and no process',
      'kit/process.ts',
      'uids.has(uid)) && livesHere(pid, uids)',
      'uids.has(uid))',
    ],
    [
      'SECURITY: is ended in namespaces',
      'kit/namespaces.ts',
      "if (kind === 'mnt') return true;",
      'if (kind) return true;',
    ],
    [
      'SECURITY: is ended in namespaces',
      'kit/namespaces.ts',
      'if (!makers.has(makerOf(namespace))) return false;',
      'return false;',
    ],
    [
      'is ended only where its command',
      'platform/host/accounts.ts',
      'processesAs(uids).filter(({ pid }) => isOwn(pid))',
      'processesAs(uids)',
    ],
    ['an engine in a container', 'kit/process.ts', 'uids.has(uid)) && livesHere(pid, uids)', 'uids.has(uid))'],
  ]),
  ...noticedBy('test/integration/platform/accounts.test.ts', [
    [
      'accounts that go are not those',
      'platform/host/accounts.ts',
      'using _ = await lockInstallations();\n  const kept',
      'const kept',
    ],
    [
      'SECURITY 22: no account of the machine holds up',
      'platform/host/installations.ts',
      'const lock = await waitForLockFile(',
      "return (await import('../../kit/lock.ts')).lockDirectory(PLACES.notes);\n  const lock = await waitForLockFile(",
    ],
  ]),
  ...noticedBy('test/unit/kit/lock.test.ts', [
    ['SECURITY 22: what is locked', 'kit/lock.ts', 'fchmodSync(directory, 0o700);', ''],
    [
      'SECURITY 22: what is locked',
      'kit/lock.ts',
      'const file = openSync(path, OPEN, 0o600);',
      'const file = openSync(path, OPEN, 0o644);',
    ],
  ]),
  ...noticedBy('test/integration/platform/teardown.test.ts', [
    [
      'a disk, or a directory',
      'cell/garden/mounts.ts',
      'if (carried || own.has(one.id)) await unmount(one.point);',
      'await unmount(one.point);',
    ],
    [
      'a disk of the operator’s that stands',
      'cell/garden/mounts.ts',
      'if (carried) await emptyTree(one.point, [one.point]);',
      '',
    ],
    [
      'a place that was shown',
      'platform/mounts.ts',
      'if (before !== null && wanted.every((option) => before.includes(option))) return;',
      'if (before !== null) return;',
    ],
    [
      'a data directory behind a link',
      'platform/settings/ensure.ts',
      'const options = { ...given, dataDirectory: realDirectory(given.dataDirectory) };',
      'const options = given;',
    ],
    [
      'an installation keeps its id',
      'platform/settings/store.ts',
      'const dataDirectory = realDirectory(directory);',
      'const dataDirectory = directory;',
    ],
    [
      'an installation keeps its id',
      'platform/settings/store.ts',
      'loadSettings(directory)?.id ?? installationId(directory)',
      'installationId(directory)',
    ],
  ]),
  ...noticedBy('test/integration/platform/several-installations.test.ts', [
    [
      'SECURITY: what an account has put',
      'platform/settings/store.ts',
      'const text = readOwnFile(file);',
      "const fs = process.getBuiltinModule('node:fs');\n  const text = fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : null;",
    ],
    ['a copy of a data directory ends', 'cli/options.ts', 'requireOwnId(settings);', ''],
    ['a data directory whose three', 'platform/host/settle.ts', 'requireOwnId(own, places);', ''],
    ['addresses are those of no other', 'platform/settings/slots.ts', '!taken.has(slotSettings(slot).overlay) && ', ''],
    ['addresses are those of no other', 'platform/host/settle.ts', 'using _ = await lockInstallations();', ''],
    [
      'one that an earlier version gave',
      'platform/host/settle.ts',
      'if (before) requireOwnAddresses(before, places);',
      '',
    ],
  ]),
  ...noticedBy('test/integration/platform/down.test.ts', [
    ['`down` leaves the addresses', 'platform/remains.ts', 'other === null ? []', 'other !== undefined ? []'],
    [
      '`down` ends what it has left',
      'cli/commands/down.ts',
      "const ran = stopped.how === 'ended' || (await endRemains(layout, log));",
      "const ran = stopped.how === 'ended';",
    ],
    ['`down` opens the ranges', 'platform/remains.ts', 'await openRange(range);', ''],
    ['SECURITY 33: after `down`', 'platform/remains.ts', 'await rm(directory, { recursive: true, force: true });', ''],
    ['SECURITY 33: after `down`', 'router/prepare.ts', 'begins ? withoutInstances(wanted) : wanted', 'wanted'],
    [
      'a supervisor that cannot open the secrets',
      'platform/supervisor/supervisor.ts',
      'const secrets = await ensureSecrets(settings);',
      'await ensureInstallation(ownAddresses(settings), routerAddress(settings), []);\n    const secrets = await ensureSecrets(settings);',
    ],
    [
      'no supervisor begins while a command',
      'cli/stopping.ts',
      'const lock = await waitForLockFile(supervisorLockOf(layout.run), what, FREED_MS);',
      'const lock = await waitForLockFile(`${supervisorLockOf(layout.run)}.other`, what, FREED_MS);',
    ],
    [
      'a supervisor that is killed is not started again by what guarded',
      'cli/stopping.ts',
      '(await lockSupervisor(layout, what))[Symbol.dispose]();',
      '',
    ],
    [
      'a supervisor that is killed is not started again by the unit',
      'cli/stopping.ts',
      'await stopUnit(layout.settings);',
      '',
    ],
    [
      'a supervisor that is killed is not started again by what guarded',
      'cli/stopping.ts',
      "while (isAlive(guard) && Date.now() < deadline) await pause(20);\n      await terminate(guard, 0, 'SIGKILL');",
      '',
    ],
    [
      'an upgrade whose supervisor',
      'cli/up/upgrade.ts',
      'if (await statusSoFar(layout)) await askS',
      'if (await statusOrNull(layout)) await askS',
    ],
  ]),
  ...noticedBy('test/integration/platform/first-start.test.ts', [
    [
      'SECURITY 33: has closed the ranges',
      'platform/supervisor/supervisor.ts',
      'await closeRanges(containerRanges(settings));',
      '',
    ],
  ]),
  ...noticedBy('test/integration/platform/haproxies.test.ts', [
    [
      'SECURITY: an account that starts processes',
      'platform/engines/haproxy.ts',
      'if (!coming || performance.now() > deadline) return',
      'if (!coming) return',
    ],
  ]),
  ...noticedBy('test/unit/kit/process.test.ts', [
    [
      'a process that the kernel',
      'kit/process.ts',
      'if (waited > graceMs + dyingMs) {',
      'if (waited > 100_000 + dyingMs) {',
    ],
  ]),
  ...noticedBy('test/unit/platform/names.test.ts', [
    [
      'installations that come and go at once',
      'platform/host/names.ts',
      'using _ = await lock();\n  changing(resolvConf, () => removeLine(',
      'changing(resolvConf, () => removeLine(',
    ],
    ['each installation writes', 'platform/host/names.ts', '${copyOf(id, resolvConf)}${PART}', '${resolvConf}${PART}'],
  ]),
  ...noticedBy('test/unit/platform/installations.test.ts', [
    ['one that was down when the machine was booted', 'platform/host/installations.ts', '[...notes, ', '['],
  ]),
  ...noticedBy('test/integration/platform/planted-links.test.ts', [
    [
      'what engines are started from',
      'platform/components/files.ts',
      '{ mode: 0o750, owner: { uid: 0, gid: reader.gid } }',
      '{ mode: 0o750, owner: reader }',
    ],
    [
      'PostgreSQL keeps nothing that a superuser',
      'platform/engines/postgresql/server.ts',
      '  await removeTree(join(dataDirectory, SET_BY_SUPERUSERS));\n',
      '',
    ],
    [
      'PostgreSQL reads its configuration',
      'platform/engines/postgresql/server.ts',
      "'-o', fileOptions(settings), ",
      '',
    ],
  ]),
  ...noticedBy('test/integration/platform/takeovers.test.ts', [
    [
      'that leaves the old one deaf',
      'platform/components/supervised.ts',
      '      await this.#find();\n      throw error;',
      '      throw error;',
    ],
    [
      'that failed under a supervisor that is gone',
      'platform/components/supervised.ts',
      '(this.#found && this.identity)',
      'this.identity',
    ],
    [
      'whose supervisor was killed in the middle',
      'platform/engines/haproxy.ts',
      "return former.length === 0 ? [] : ['-sf', ",
      "return former.length < 2 ? [] : ['-sf', ",
    ],
  ]),
  ...noticedBy('test/e2e/shared/hostile-neighbour.test.ts', [
    [
      'SECURITY 33: of all that listens on this machine',
      RULES,
      '}    goto denied\n  }\n  chain name_query',
      '}    accept\n  }\n  chain name_query',
    ],
    [
      'SECURITY 33: another machine of the link',
      'cell/network/machine.ts',
      'input ip daddr @own drop',
      'input ip daddr @own accept',
    ],
    [
      'SECURITY 33: an account of the machine',
      RULES,
      'meta skuid { ${callers} } accept\n    goto denied',
      'meta skuid { ${callers} } accept\n    accept',
    ],
    [
      'SECURITY 33: the metadata services',
      RULES,
      'th dport @c2c accept\n    goto denied',
      'th dport @c2c accept\n    drop',
    ],
    [
      'SECURITY 31: nothing of another process',
      'cell/garden/oci-spec.ts',
      "workingDirectory, user: 'root' });",
      "workingDirectory, user: 'vcap' });",
    ],
  ]),
  ...noticedBy('test/e2e/faults.test.ts', [
    [
      'HAV-01, SECURITY 37: cell-0 is killed',
      'cell/garden/create-garden.ts',
      "record?.state === 'ready' && record.bootId === this.#bootId",
      "record?.state === 'ready' && record.bootId === 'another'",
    ],
  ]),
  ...noticedBy('test/e2e/local-accounts.test.ts', [
    [
      'SECURITY 22: it connects to no Unix',
      'platform/admin-socket.ts',
      'path, { mode: 0o600 }',
      'path, { mode: 0o666 }',
    ],
    ['SECURITY 22: it connects to no Unix', 'platform/engines/postgresql/server.ts', 'mode: 0o710', 'mode: 0o755'],
    [
      'SECURITY 22: it connects to no TCP',
      'platform/private-ports.ts',
      '      { address, port: ports.rpc, accounts: [control] },\n',
      '',
    ],
    [
      'SECURITY 22: nor where no cell comes by',
      'platform/supervisor/supervisor.ts',
      'work.every(GUARD_MS, guard);',
      '',
    ],
    [
      'SECURITY 22: it connects no more',
      'cell/network/machine.ts',
      '${closePorts(TABLE, notedPorts(noteDirectory))}',
      '',
    ],
  ]),
  ...noticedBy('test/e2e/shared/docker.test.ts', [
    [
      'SECURITY 28: a registry',
      'cell/images/registry-access.ts',
      'entry.toLowerCase() === host || entry',
      "entry.replace(/:\\d+$/, '') === name || entry",
    ],
  ]),
  ...noticedBy('test/e2e/shared/scripting-buildpacks.test.ts', [
    [
      'SECURITY 24: a hostile zip',
      'cloud-controller/packages/archive.ts',
      "if (parts.includes('..')) throw",
      'if (false) throw',
    ],
  ]),
  ...noticedBy('test/e2e/shared/ssh.test.ts', [
    [
      'SECURITY 22, 31: what it starts',
      'cell/garden/sessions.ts',
      '{ ...processSpec(spec), terminal',
      "{ ...processSpec({ ...spec, user: 'root' }), terminal",
    ],
  ]),
  ...noticedBy('test/unit/platform/checked-files.test.ts', [
    [
      'SECURITY 28: secrets, and no word',
      'kit/checked.ts',
      '${told.what} is no JSON: ${error.fault}`)',
      '${told.what} is no JSON: ${error.fault}`, { cause: error })',
    ],
    [
      'settings.json',
      'platform/settings/store.ts',
      'checked(PlatformSettings, complete',
      'checked(Type.Any(), complete',
    ],
  ]),
  ...noticedBy('test/unit/platform/admin-operations.test.ts', [
    [
      'SECURITY 28: no value of it',
      'kit/checked.ts',
      '${what}: ${faultOf(shape, value)}`',
      '${what}: ${faultOf(shape, value)} ${JSON.stringify(value)}`',
    ],
    [
      'what is not as declared is refused',
      'platform/admin-socket.ts',
      'run(checked(body, message, {',
      'run(checked(Type.Any(), message, {',
    ],
    [
      'an answer that is not',
      'platform/admin-socket.ts',
      'question.answer ? checked(question.answer, answer, told) : answer',
      'told ? answer : answer',
    ],
  ]),
  ...noticedBy('test/unit/platform/earlier-installation.test.ts', [
    ['the settings of the very first', 'platform/settings/store.ts', '{ ...EARLIER, ...written,', '{ ...written,'],
    [
      'secrets from before roots',
      'platform/secrets.ts',
      'return { rotation: null, ...checkedJson',
      'return { ...checkedJson',
    ],
  ]),
  ...noticedBy('test/unit/cli/help.test.ts', [
    [
      'SECURITY 28: a variable that is refused',
      'platform/settings/words.ts',
      'if (pairs.includes(null)) return undefined;',
      'if (pairs.includes(null)) throw new Error(String(words));',
    ],
    ['every command says', 'cli/run.ts', "word === '--help' || ", ''],
    [
      'what `up` says at its end',
      'cli/up/advice.ts',
      '-u ${settings.adminUser}`',
      '-u ${settings.adminUser} --skip-ssl-validation`',
    ],
  ]),
  ...noticedBy('test/unit/platform/launch.test.ts', [
    ['SECURITY 28: a component can leave', 'platform/components/launch.ts', "['--core=0:0']", "['--core=0:']"],
  ]),
  ...noticedBy('test/e2e/planted-secrets.test.ts', [
    [
      'SECURITY 22, 28: secrets',
      'ssh-proxy/connection.ts',
      'user: context.username.slice(0, 100), address }',
      'user: context.username.slice(0, 100), tried: [context.password], address }',
    ],
    [
      'SECURITY 28: no secret is in a log',
      'cloud-controller/audit-events/store.ts',
      'redact(event.data)',
      'event.data',
    ],
    [
      'SECURITY 28: no secret is in the arguments',
      'platform/components/launch.ts',
      'const command = [options.command, ...options.args];',
      'const command = [options.command, ...options.args, ...[options.input ?? []].flat()];',
    ],
    [
      'SECURITY 28: no secret is in the arguments',
      'cell/garden/runtime.ts',
      "_OCI_SYNCPIPE: '3' }",
      "_OCI_SYNCPIPE: '3', SPEC: await readFile(files.spec, 'utf8').catch(() => '') }",
    ],
    ['SECURITY 28: no process of the platform', 'cli/up/start.ts', 'const GUARD = `ulimit -c 0\n', 'const GUARD = `'],
  ]),
  ...noticedBy('test/e2e/machine-faults.test.ts', [
    [
      'SECURITY 38: the data disk is full',
      'platform/components/supervised.ts',
      'Math.min(SLOWEST_RESTART_MS, 100 * 2 ** this.#quickDeaths)',
      '3_600_000',
    ],
  ]),
];
// biome-ignore-end lint/suspicious/noTemplateCurlyInString: the code's own text
