import { run } from '../../kit/process.ts';
import { type Finding, findingsOf } from './finding.ts';

const { ok, warn } = findingsOf('firewall');

/** A chain through which all packets of one direction go. */
interface BaseChain {
  family: string;
  table: string;
  name: string;
  hook: 'input' | 'forward';
}

/**
 * Rules of others (Docker, ufw, firewalld) that drop what they do not know: no rule of Cupola's own brings a packet past them. `id`: how the names of the
 * containers' links begin; `range`: what addresses they have. Nothing where the packet filter cannot be looked at, as by others than root.
 */
export async function firewallFindings(id: string, range: string): Promise<Finding[]> {
  try {
    const findings: Finding[] = [];
    for (const chain of dropping(await run('nft', ['list', 'chains']))) {
      const { family, table, name, hook } = chain;
      const what = `${hook}: ${family} ${table} ${name}`;
      const rules = await run('nft', ['list', 'table', family, table]);
      const told = new RegExp(`iifname "${id}[a-z]*\\*?" .*accept`).test(rules);
      findings.push(
        told
          ? ok(what, 'drops what it does not know, and knows the containers')
          : warn(what, 'drops what it does not know', adviceFor(chain, id, range)),
      );
    }
    return findings.length > 0 ? findings : [ok('rules of others', 'none that drop what they do not know')];
  } catch {
    return [];
  }
}

/** Of `nft list chains`; Cupola's own and those of IPv6 alone, which containers have not, are none of them. */
function dropping(listing: string): BaseChain[] {
  const found: BaseChain[] = [];
  let [family, table, name] = ['', '', ''];
  for (const line of listing.split('\n')) {
    [, family = family, table = table] = /^table (\S+) (\S+) \{/.exec(line) ?? [];
    [, name = name] = /^\tchain (\S+) \{/.exec(line) ?? [];
    const [, hook, policy] = /type filter hook (input|forward) .*policy (\w+);/.exec(line) ?? [];
    // firewalld accepts by policy and rejects by its last rule.
    if (policy !== 'drop' && table !== 'firewalld') continue;
    if ((hook !== 'input' && hook !== 'forward') || !['ip', 'inet'].includes(family) || /^cupola[._]/.test(table))
      continue;
    found.push({ family, table, name, hook });
  }
  return found;
}

function adviceFor({ family, table, name, hook }: BaseChain, id: string, range: string): string {
  if (table === 'firewalld')
    return `firewall-cmd --permanent --zone=trusted --add-source=${range}, then firewall-cmd --reload`;
  const chain =
    family === 'ip' && table === 'filter' ? `iptables -I ${name}` : `nft insert rule ${family} ${table} ${name}`;
  const link = chain.startsWith('iptables')
    ? (way: string) => `-${way} ${id}+ -j ACCEPT`
    : (way: string) => `${way}ifname "${id}*" accept`;
  const ways = hook === 'input' ? ['i'] : ['i', 'o'];
  const rules = ways.map((way) => `${chain} ${link(way)}`).join('; ');
  return `containers reach ${hook === 'input' ? 'no name server' : 'nothing outside'} until it lets them through: ${rules}`;
}
