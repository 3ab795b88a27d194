import { CupolaError } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';
import type { ProcessIdentity } from '../../kit/process.ts';
import { networkOf } from '../garden/kernel.ts';
import { AddressRange } from './addresses.ts';
import { compileEgress, type EgressChain, type PlainEgressRule } from './egress.ts';
import { prepareHost, restoreHost } from './host.ts';
import { addLink, linksOf, removeLink } from './links.ts';
import { cupolaTables, Nft } from './nft.ts';
import { addChain, addVerdict, admit, expel, removeChain, removeVerdict, renderTable, tableName } from './ruleset.ts';
import type { NetworkSettings } from './settings.ts';
import { TrackedConnections } from './tracked.ts';

export interface Attachment {
  number: number;
  rules: readonly PlainEgressRule[];
}

/** Links and packet filter of one cell's containers, which are numbered from 1. */
export class CellNetwork {
  readonly addresses: AddressRange;
  readonly #prefix: string;
  readonly #settings: NetworkSettings;
  readonly #log: Logger;
  readonly #nft = new Nft();
  readonly #tracked: TrackedConnections;
  /** The egress chain in force, by container number. */
  readonly #chains = new Map<number, EgressChain>();

  /** Throws `invalid_address`. */
  constructor(prefix: string, settings: NetworkSettings, log: Logger) {
    this.#prefix = prefix;
    this.#settings = settings;
    this.#log = log;
    this.#tracked = new TrackedConnections(log);
    this.addresses = new AddressRange(settings.range);
  }

  /** Where containers find their gateway and their name server. */
  get gateway(): string {
    return this.#settings.gateway;
  }

  /**
   * Prepares the host, puts the packet filter in force for the containers that run, and removes links of others.
   * Connections that are established stay. Throws `prefix_in_use`, `command_failed`.
   */
  async start(running: readonly Attachment[]): Promise<void> {
    for (const table of await cupolaTables()) refuseOverlap(tableName(this.#prefix), table);
    for (const { number, rules } of running) this.#chains.set(number, this.#compile({ number, rules }));
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
    else await prepareHost(this.#settings, this.#prefix);
    return gone;
  }

  /** Judges the container's packets by its rules, before it has a link. A rule that cannot be read allows nothing. */
  async admit(attachment: Attachment): Promise<void> {
    const { number } = attachment;
    const chain = this.#compile(attachment);
    await this.#nft.apply(() => ({
      text: this.#needChain(chain) + admit(this.#prefix, { ...this.#place(number), chain }),
      undo: this.#record(number, chain),
    }));
  }

  /** Gives the network namespace of a container's first process its link. Throws `container_not_found`, `system_call_failed`. */
  async connect(number: number, init: ProcessIdentity): Promise<void> {
    using network = networkOf(init);
    if (!network) throw new CupolaError('container_not_found', `the first process of container ${number} ended`);
    await addLink({ ...this.#place(number), network, settings: this.#settings });
  }

  /** Replaces the container's rules in one step. Connections that are established stay, as in Cloud Foundry. */
  async setRules(attachment: Attachment): Promise<void> {
    const { number } = attachment;
    const chain = this.#compile(attachment);
    const { address } = this.#place(number);
    await this.#nft.apply(() => {
      const before = this.#chains.get(number);
      if (!before) throw new CupolaError('container_not_found', `container ${number} has no network`);
      if (chain.name === before.name) return { text: '' };
      const needed = this.#needChain(chain);
      const undo = this.#record(number, chain);
      const verdict = removeVerdict(this.#prefix, address) + addVerdict(this.#prefix, address, chain.name);
      return { text: needed + verdict + this.#dropUnused(before), undo };
    });
  }

  /** Fine if the container had none. Its address may be given to another when it resolves. */
  async remove(number: number): Promise<void> {
    const place = this.#place(number);
    const rules = this.#nft.apply(() => {
      const chain = this.#chains.get(number);
      if (!chain) return { text: '' };
      const undo = this.#record(number, null);
      return { text: expel(this.#prefix, place) + this.#dropUnused(chain), undo };
    });
    await Promise.all([rules, removeLink(place.link)]);
    await this.#tracked.forget(place.address);
  }

  /** Removes everything of this cell; what it changed on the host too, unless another cell is left. */
  async tearDown(): Promise<void> {
    for (const link of await linksOf(this.#prefix)) await removeLink(link);
    const table = tableName(this.#prefix);
    if ((await cupolaTables()).includes(table)) await this.#nft.apply(() => ({ text: `delete table inet ${table}\n` }));
    this.#chains.clear();
    await restoreHost(this.#settings);
  }

  async #enforce(): Promise<void> {
    await this.#nft.apply(() => {
      const members = [...this.#chains].map(([number, chain]) => ({ ...this.#place(number), chain }));
      return { text: renderTable(this.#prefix, this.#settings, members) };
    });
    await prepareHost(this.#settings, this.#prefix);
  }

  #compile({ number, rules }: Attachment): EgressChain {
    const { ignored, ...chain } = compileEgress(rules);
    if (ignored.length > 0) {
      this.#log.error('security group rules that cannot be read allow nothing', {
        container: number,
        of: rules.length,
        ignored: ignored.slice(0, 20),
      });
    }
    return chain;
  }

  #place(number: number): { link: string; address: string } {
    return { link: `${this.#prefix}${number}`, address: this.addresses.address(number) };
  }

  /** Of what is about to be in force; gives what takes it back. */
  #record(number: number, chain: EgressChain | null): () => void {
    const before = this.#chains.get(number) ?? null;
    const put = (value: EgressChain | null) =>
      value === null ? this.#chains.delete(number) : this.#chains.set(number, value);
    put(chain);
    return () => void put(before);
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
