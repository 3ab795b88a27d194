import { noticedBy } from './mutation.ts';

const HOST = 'cell/network/host.ts';
const MACHINE = 'cell/network/machine.ts';
const PORTS = 'cell/network/private-ports.ts';
const RULES = 'cell/network/ruleset.ts';
const TRACKED = 'cell/network/tracked.ts';

// biome-ignore-start lint/suspicious/noTemplateCurlyInString: the code's own text
export const cellNetwork = [
  ...noticedBy('test/integration/cell/garden-neighbours.test.ts', [
    ['SECURITY 33: another machine reaches none', MACHINE, 'input ip daddr @own drop', 'input ip daddr @own accept'],
    [
      'SECURITY 33: cells that start at once',
      HOST,
      'using _turn = await lockDirectory(directory);',
      '(await lockDirectory(directory))[Symbol.dispose]();',
    ],
    ['SECURITY 33: no other machine is forwarded', MACHINE, 'forward drop', 'forward accept'],
    [
      'SECURITY 33: another machine reaches no container',
      RULES,
      'th dport @c2c accept\n    drop',
      'th dport @c2c accept\n    accept',
    ],
    [
      'SECURITY 33: another machine cannot tell',
      RULES,
      '    iifname != "lo" iifname != ${machine} ip daddr ${range} goto to_container\n',
      '',
    ],
    ['SECURITY 33: a container cannot tell', RULES, 'ip daddr != { ${local} } goto from_container', 'continue'],
    ['SECURITY 33: a packet with another source', RULES, 'ip daddr != { ${local} } goto from_container', 'continue'],
    ['SECURITY 33: an account of this machine', RULES, '    oifname ${links} goto from_host\n', ''],
    [
      'SECURITY 33: an account of this machine',
      RULES,
      'ct state new meta skuid != 0 goto denied',
      'ct state new meta skuid != 0 accept',
    ],
    [
      'SECURITY 33: no metadata service of any cloud',
      RULES,
      "    ip daddr { ${metadataNetworks(4).join(', ')} } goto denied\n",
      '    ip daddr 169.254.0.0/16 goto denied\n',
    ],
    [
      'SECURITY 33: a container of one cell learns',
      RULES,
      ' iifname != ${machine} ip daddr ${range}',
      ' ip daddr ${range}',
    ],
    [
      'SECURITY 32: a container has its share of connections',
      RULES,
      `    add @connections { ip saddr ct count over \${CONNECTIONS} } goto denied
    ip daddr`,
      '    ip daddr',
    ],
    [
      'SECURITY 32: a container has its share of the name server',
      RULES,
      '    ip daddr ${gateway} udp dport 53 goto name_query\n',
      '    ip daddr ${gateway} udp dport 53 accept\n',
    ],
  ]),
  ...noticedBy('test/integration/platform/container-names.test.ts', [
    [
      'SECURITY 32: names nobody answers',
      'platform/host/dns-config.ts',
      '    `dns-forward-max=${WAITING_QUERIES}`,\n',
      '',
    ],
  ]),
  ...noticedBy('test/integration/cell/machine-guard.test.ts', [
    [
      'SECURITY 33: cells whose links have names of any length',
      MACHINE,
      'setLinks([...new Set([...guarded, ...wanted])])',
      'setLinks(wanted)',
    ],
    ['links of a cell that does not add them', MACHINE, ', ...linksOfCells(tables)]', ']'],
  ]),
  ...noticedBy('test/integration/cell/private-ports.test.ts', [
    ['SECURITY 22: another account is refused', PORTS, 'add rule ${table} private_port reject with tcp reset\n', ''],
    [
      'SECURITY 22: they are closed again, and addresses',
      HOST,
      'await guardMachine(directory, { addresses });\n    for',
      'await guardMachine(directory, {});\n    for',
    ],
    ['SECURITY 22: they are closed again after', MACHINE, '${closePorts(TABLE, notedPorts(noteDirectory))}', ''],
    [
      'SECURITY 22: one installation’s stay',
      HOST,
      'dropAddress(address, portsOf(directory, address))',
      'dropAddress(address)',
    ],
    [
      'SECURITY 22: an account that was taken away',
      HOST,
      '    if (JSON.stringify(before) !== wanted) await unguardPorts(before);\n',
      '',
    ],
  ]),
  ...noticedBy('test/integration/cell/host-notes.test.ts', [
    [
      'SECURITY 33: a cell that comes and goes',
      HOST,
      'if ((await notesIn(directory)).length === 0) await unguardMachine();\n    else ',
      '',
    ],
    [
      'SECURITY 33: where forwarding cannot be switched off',
      HOST,
      `if (existsSync(join(directory, FORWARDING_NOTE))) await writeFile(FORWARDING, '0');
    await forget(directory, FORWARDING_NOTE);`,
      `const noted = existsSync(join(directory, FORWARDING_NOTE));
    await forget(directory, FORWARDING_NOTE);
    if (noted) await writeFile(FORWARDING, '0');`,
    ],
    [
      'SECURITY 33: whoever is killed at any command',
      HOST,
      '      await dropAddress(address);\n      await forget(directory, `address-${address}`);\n',
      '      await forget(directory, `address-${address}`);\n      await dropAddress(address);\n',
    ],
    ['SECURITY 33: forwarding is not switched on', HOST, "    ignore('EEXIST'),\n", '    () => {},\n'],
    [
      'SECURITY 33: the last cell of another installation',
      HOST,
      '      if (notes.includes(`${INSTALLATION_NOTE}${address}`)) continue;\n',
      '',
    ],
    [
      'SECURITY 33: a range that an installation closed',
      HOST,
      '      if (notes.includes(`${INSTALLATION_NOTE}${name}`)) continue;\n',
      '',
    ],
    ['SECURITY 33: a cell that comes and goes', HOST, '      await dropRange(range);\n', ''],
    [
      'SECURITY 33: whoever is killed at any command',
      HOST,
      '      await dropRange(range);\n      await forget(directory, rangeNote(range));\n',
      '      await forget(directory, rangeNote(range));\n      await dropRange(range);\n',
    ],
    [
      'SECURITY 33: addresses that come while cells go',
      HOST,
      'using _turn = await lockDirectory(directory);',
      '(await lockDirectory(directory))[Symbol.dispose]();',
    ],
  ]),
  ...noticedBy('test/integration/cell/garden-connections.test.ts', [
    [
      'SECURITY 33: the next container with its address',
      'cell/network/network.ts',
      '    await this.#tracked.forget(place.address);\n',
      '',
    ],
    ['SECURITY 33: the next container with its address', TRACKED, "['--orig-src', '--orig-dst']", "['--orig-src']"],
    ['thousands of entries go', TRACKED, "'ipv4', side, address]", "'ipv4']"],
  ]),
  ...noticedBy('test/unit/cell/tracked.test.ts', [
    [
      'SECURITY 33: an entry that somebody else',
      TRACKED,
      'if (messageOf(error).endsWith(GONE_MEANWHILE)) return true;',
      '',
    ],
  ]),
];
// biome-ignore-end lint/suspicious/noTemplateCurlyInString: the code's own text
