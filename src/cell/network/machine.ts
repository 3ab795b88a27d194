import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../../kit/process.ts';
import { cellTables, listTables, nft } from './nft.ts';
import { closePorts, openPorts, type PrivatePort, parsePorts, privatePortRules } from './private-ports.ts';

/*
 * One table for all cells and installations of the machine. Linux answers on every interface for every address it has, those
 * on `lo` included, and forwards between all interfaces once it forwards at all: what is private by intent is private by
 * these rules, and so is a port that only some accounts of the machine may knock at. No cell's table matches this name.
 */
const TABLE = 'inet cupola.machine';

/** There while forwarding is on because a cell switched it on; holds what it was. */
export const FORWARDING_NOTE = 'ip_forward';

/** Of an address of an installation, as long as it stands: the ports that are closed to all but some accounts, if any. */
export const INSTALLATION_NOTE = 'installation-';

/**
 * Puts the rules in force, those of all that is noted here about ports too, and adds to what they guard: addresses that only this
 * machine and its containers reach, and the links (all that begin with `prefix`) that are containers'. Adding twice is adding once, so
 * cells need not know each other; those who add links take turns. The links of every cell whose own table judges them are added
 * too: a cell of an earlier version runs beside these rules and does not add its own.
 */
export async function guardMachine(
  noteDirectory: string,
  { addresses = [], prefix }: { addresses?: readonly string[]; prefix?: string },
): Promise<void> {
  const bounded = existsSync(join(noteDirectory, FORWARDING_NOTE));
  const tables = await listTables();
  const guarded = tables.includes(TABLE) ? await guardedLinks() : [];
  const wanted = [...(prefix === undefined ? [] : [`${prefix}*`]), ...linksOfCells(tables)];
  await nft(`
add table ${TABLE}
add set ${TABLE} links { type ifname; flags interval; }
add set ${TABLE} own { type ipv4_addr; }
add chain ${TABLE} input { type filter hook input priority filter; policy accept; }
add chain ${TABLE} forward { type filter hook forward priority filter; policy accept; }
flush chain ${TABLE} input
flush chain ${TABLE} forward
add rule ${TABLE} input iifname "lo" accept
add rule ${TABLE} input iifname @links accept
add rule ${TABLE} input ip daddr @own drop
${privatePortRules(TABLE)}${closePorts(TABLE, notedPorts(noteDirectory))}${bounded ? forwardingRules() : ''}${addresses.map((address) => `add element ${TABLE} own { ${address} }\n`).join('')}${
  wanted.every((link) => guarded.includes(link)) ? '' : setLinks([...new Set([...guarded, ...wanted])])
}`);
}

/**
 * All of them in one piece: nft 1.0 takes a wildcard for an overlap of every other where the set holds two of different lengths.
 * Two who did it at once would lose one of each other's.
 */
function setLinks(links: readonly string[]): string {
  const elements = links.map((link) => `"${link}"`).join(', ');
  return `flush set ${TABLE} links\n${links.length === 0 ? '' : `add element ${TABLE} links { ${elements} }\n`}`;
}

/** How the links begin that are containers' already, with a star each. Where the table is. */
async function guardedLinks(): Promise<string[]> {
  const listing = await run('nft', ['list', 'set', ...TABLE.split(' '), 'links']).catch(async (error: unknown) => {
    if (await isThere()) throw error;
    return ''; // the machine's firewall was loaded anew in between
  });
  return [...listing.matchAll(/"([a-z]+\*)"/g)].map(([, link]) => link!);
}

/** Others' packets pass no more than before: where the machine forwarded by itself there are no such rules. */
function forwardingRules(): string {
  return [
    `add rule ${TABLE} forward iifname @links accept`,
    `add rule ${TABLE} forward oifname @links accept`,
    `add rule ${TABLE} forward drop`,
    '',
  ].join('\n');
}

function notedPorts(noteDirectory: string): PrivatePort[] {
  if (!existsSync(noteDirectory)) return [];
  return readdirSync(noteDirectory)
    .filter((name) => name.startsWith(INSTALLATION_NOTE))
    .flatMap((name) => parsePorts(readFileSync(join(noteDirectory, name), 'utf8')));
}

/** The address is gone, or anybody's again; and so are the ports. */
export async function unguardAddress(address: string, ports: readonly PrivatePort[] = []): Promise<void> {
  const own = `add element ${TABLE} own { ${address} }\ndelete element ${TABLE} own { ${address} }\n`;
  await ifThere(own + openPorts(TABLE, ports));
}

/** The ports are open to every account again. */
export async function unguardPorts(ports: readonly PrivatePort[]): Promise<void> {
  await ifThere(openPorts(TABLE, ports));
}

/** Takes the links of cells away that have no table any more. (nft 1.0 cannot delete one wildcard.) */
export async function forgetLinks(): Promise<void> {
  await ifThere(setLinks(linksOfCells(await listTables())));
}

/** How the links of cells begin whose tables are among these. */
function linksOfCells(tables: readonly string[]): string[] {
  return cellTables(tables).map((table) => `${table.slice('cupola_'.length)}*`);
}

/** Takes the table away, with all that it guards. Fine where there is none. */
export async function unguardMachine(): Promise<void> {
  await nft(`add table ${TABLE}\ndelete table ${TABLE}\n`);
}

/** Whoever loads the machine's firewall anew may take the table away between any two commands. */
async function ifThere(text: string): Promise<void> {
  if (!(await isThere())) return;
  await nft(text).catch(async (error: unknown) => {
    if (await isThere()) throw error;
  });
}

async function isThere(): Promise<boolean> {
  return (await listTables()).includes(TABLE);
}
