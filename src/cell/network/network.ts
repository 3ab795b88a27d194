import { CupolaError } from '../../kit/errors.ts';
import { AddressRange } from './addresses.ts';
import { compileEgress, type EgressChain, type PlainEgressRule } from './egress.ts';
import { prepareHost, restoreHost } from './host.ts';
import { addLink, linksOf, removeLink } from './links.ts';
import { cupolaTables, Nft } from './nft.ts';
import { addChain, addVerdict, admit, expel, removeChain, removeVerdict, renderTable, tableName } from './ruleset.ts';
import type { NetworkSettings } from './settings.ts';

export interface Attachment {
  number: number;
  rules: readonly PlainEgressRule[];
}

/** Links and packet filter of one cell's containers, which are numbered from 1. */
export class CellNetwork {
  readonly addresses: AddressRange;
  readonly #prefix: string;
  readonly #settings: NetworkSettings;
  readonly #nft = new Nft();
  /** The egress chain in force, by container number. */
  readonly #chains = new Map<number, EgressChain>();

  /** Throws `invalid_address`. */
  constructor(prefix: string, settings: NetworkSettings) {
    this.#prefix = prefix;
    this.#settings = settings;
    this.addresses = new AddressRange(settings.range);
  }

  /** Where containers find their gateway and their name server. */
  get gateway(): string {
    return this.#settings.gateway;
  }

  /**
   * Prepares the host, puts the packet filter in force for the containers that run, and removes links of others.
   * Connections that are established stay. Throws `prefix_in_use`, `invalid_egress_rule`, `command_failed`.
   */
  async start(running: readonly Attachment[]): Promise<void> {
    for (const table of await cupolaTables()) refuseOverlap(tableName(this.#prefix), table);
    for (const { number, rules } of running) this.#chains.set(number, compileEgress(rules));
    await this.#enforce();
    const wanted = new Set([...this.#chains.keys()].map((number) => this.#place(number).link));
    for (const link of await linksOf(this.#prefix)) if (!wanted.has(link)) await removeLink(link);
  }

  /**
   * Puts the packet filter in force again where somebody else removed it, as a reload of the machine's own firewall does,
   * and the host's settings too. True if the filter was gone.
   */
  async restore(): Promise<boolean> {
    const gone = !(await cupolaTables()).includes(tableName(this.#prefix));
    if (gone) await this.#enforce();
    else await prepareHost(this.#settings);
    return gone;
  }

  /** Judges the container's packets by its rules, before it has a link. Throws `invalid_egress_rule`. */
  async admit({ number, rules }: Attachment): Promise<void> {
    const chain = compileEgress(rules);
    const text = this.#needChain(chain) + admit(this.#prefix, { ...this.#place(number), chain });
    this.#chains.set(number, chain);
    try {
      await this.#nft.apply(text);
    } catch (error) {
      this.#chains.delete(number);
      throw error;
    }
  }

  /** Gives the network namespace of process `pid` its link. */
  async connect(number: number, pid: number): Promise<void> {
    await addLink({ ...this.#place(number), pid, settings: this.#settings });
  }

  /** Replaces the container's rules in one step. Connections that are established stay, as in Cloud Foundry. */
  async setRules({ number, rules }: Attachment): Promise<void> {
    const before = this.#chains.get(number);
    if (!before) throw new CupolaError('container_not_found', `container ${number} has no network`);
    const chain = compileEgress(rules);
    if (chain.name === before.name) return;
    const { address } = this.#place(number);
    let text = this.#needChain(chain);
    this.#chains.set(number, chain);
    text += removeVerdict(this.#prefix, address) + addVerdict(this.#prefix, address, chain.name);
    await this.#nft.apply(text + this.#dropUnused(before));
  }

  /** Fine if the container had none. */
  async remove(number: number): Promise<void> {
    const chain = this.#chains.get(number);
    const { link } = this.#place(number);
    const rules = async () => {
      if (!chain) return;
      this.#chains.delete(number);
      await this.#nft.apply(expel(this.#prefix, this.#place(number)) + this.#dropUnused(chain));
    };
    await Promise.all([rules(), removeLink(link)]);
  }

  /** Removes everything of this cell; what it changed on the host too, unless another cell is left. */
  async tearDown(): Promise<void> {
    for (const link of await linksOf(this.#prefix)) await removeLink(link);
    const table = tableName(this.#prefix);
    if ((await cupolaTables()).includes(table)) await this.#nft.apply(`delete table inet ${table}\n`);
    this.#chains.clear();
    await restoreHost(this.#settings);
  }

  async #enforce(): Promise<void> {
    const members = [...this.#chains].map(([number, chain]) => ({ ...this.#place(number), chain }));
    await this.#nft.apply(renderTable(this.#prefix, this.#settings, members));
    await prepareHost(this.#settings);
  }

  #place(number: number): { link: string; address: string } {
    return { link: `${this.#prefix}${number}`, address: this.addresses.address(number) };
  }

  #needChain(chain: EgressChain): string {
    const known = [...this.#chains.values()].some(({ name }) => name === chain.name);
    return known ? '' : addChain(this.#prefix, chain);
  }

  #dropUnused(chain: EgressChain): string {
    const used = [...this.#chains.values()].some(({ name }) => name === chain.name);
    return used ? '' : removeChain(this.#prefix, chain.name);
  }
}

/** Links are matched by the beginning of their name. */
function refuseOverlap(own: string, other: string): void {
  if (own === other || !(own.startsWith(other) || other.startsWith(own))) return;
  throw new CupolaError('prefix_in_use', `the prefix of ${own} overlaps that of ${other}, which is in use`);
}
