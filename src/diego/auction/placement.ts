/** A cell as an auction sees it: what it has in all and what is left. */
export interface AuctionCell {
  cellId: string;
  zone: string;
  stacks: readonly string[];
  placementTags: readonly string[];
  totalMemoryMb: number;
  totalDiskMb: number;
  totalContainers: number;
  memoryMb: number;
  diskMb: number;
  containers: number;
  /** Of each process, how many instances run or start here. */
  instances: ReadonlyMap<string, number>;
  /** Of each organization, how many containers are here or on their way. */
  organizations: ReadonlyMap<string, number>;
}

/** One instance or one task to be placed. `processGuid` is null for a task. */
export interface AuctionItem {
  processGuid: string | null;
  /** '' where it is nobody's. */
  organizationGuid: string;
  /** 0 for a task. */
  index: number;
  stack: string;
  placementTags: readonly string[];
  memoryMb: number;
  diskMb: number;
}

export type Placement<Item> = { item: Item; cell: number } | { item: Item; error: string };

/**
 * An organization takes a place of a cell only while it has there fewer than this many for each that is free. Alone it comes
 * to nine tenths of a cell's containers, two come to nine nineteenths each: whatever many small instances one of them asks
 * for, somebody else finds a place (SECURITY 32).
 */
export const CONTAINERS_FOR_EACH_FREE = 9;

/** Instances of one process, by zone and by cell. */
interface Spread {
  zones: Int32Array;
  cells: Map<number, number>;
}

/**
 * Places work on cells; pure, so that it can be tested and timed alone.
 *
 * First instances come before tasks, tasks before further instances: when room is short every app has something. Of each
 * of these, organizations take turns, and each places large before small. A cell is eligible with the right stack and exactly the placement tags (a cell of an isolation segment
 * takes nothing else, DGO-01). Among the eligible with room the choice is: fewest instances of the process in the zone,
 * then on the cell (DGO-04: a lost zone or cell costs the least), then the least loaded, then the first by name, which
 * packs ties.
 */
export function place<Item extends AuctionItem>(
  cells: readonly AuctionCell[],
  items: readonly Item[],
): Placement<Item>[] {
  const fleet = new Fleet(cells);
  return inPlacingOrder(items).map((item) => fleet.place(item));
}

/** In the order they are placed. */
function inPlacingOrder<Item extends AuctionItem>(items: readonly Item[]): Item[] {
  const ordered = items.toSorted((a, b) => priority(a) - priority(b) || b.memoryMb - a.memoryMb);
  const taken = new Map<string, number>();
  const turns = ordered.map((item) => {
    const queue = `${kindOf(item)}/${item.organizationGuid}`;
    const turn = taken.get(queue) ?? 0;
    taken.set(queue, turn + 1);
    return { item, turn, kind: kindOf(item) };
  });
  // Equals stay in the order they had.
  turns.sort((a, b) => a.kind - b.kind || a.turn - b.turn);
  return turns.map(({ item }) => item);
}

function kindOf(item: AuctionItem): number {
  return Math.min(priority(item), 2);
}

function priority(item: AuctionItem): number {
  if (item.processGuid === null) return 1;
  return item.index === 0 ? 0 : item.index + 1;
}

function tagKey(tags: readonly string[]): string {
  return JSON.stringify([...new Set(tags)].sort());
}

class Fleet {
  readonly #cells: readonly AuctionCell[];
  readonly #order: readonly number[];
  readonly #zone: Int32Array;
  readonly #zones: number;
  readonly #memory: Float64Array;
  readonly #disk: Float64Array;
  readonly #containers: Float64Array;
  /** Load from 0 to 1, the mean of the three shares in use. */
  readonly #load: Float64Array;
  readonly #eligible = new Map<string, Int32Array>();
  readonly #spreads = new Map<string, Spread>();
  readonly #initial = new Map<string, [cell: number, count: number][]>();
  /** Instances of the process at hand on each cell; cleared after each use. */
  readonly #here: Int32Array;
  readonly #refused = new Map<string, string>();
  /** Of each organization, its containers on each cell. */
  readonly #held = new Map<string, Int32Array>();

  constructor(cells: readonly AuctionCell[]) {
    this.#cells = cells;
    this.#order = cells
      .map((_, cell) => cell)
      .sort((a, b) => (cells[a]!.cellId < cells[b]!.cellId ? -1 : cells[a]!.cellId > cells[b]!.cellId ? 1 : 0));
    const zones = new Map<string, number>();
    for (const { zone } of cells) if (!zones.has(zone)) zones.set(zone, zones.size);
    this.#zones = zones.size;
    this.#zone = Int32Array.from(cells, (cell) => zones.get(cell.zone)!);
    this.#memory = Float64Array.from(cells, (cell) => cell.memoryMb);
    this.#disk = Float64Array.from(cells, (cell) => cell.diskMb);
    this.#containers = Float64Array.from(cells, (cell) => cell.containers);
    this.#load = new Float64Array(cells.length);
    this.#here = new Int32Array(cells.length);
    cells.forEach((cell, position) => {
      this.#weigh(position);
      for (const [processGuid, count] of cell.instances) {
        const initial = this.#initial.get(processGuid);
        if (initial) initial.push([position, count]);
        else this.#initial.set(processGuid, [[position, count]]);
      }
    });
  }

  place<Item extends AuctionItem>(item: Item): Placement<Item> {
    const kind = `${item.stack}/${tagKey(item.placementTags)}`;
    const size = `${kind}/${item.memoryMb}/${item.diskMb}/${item.organizationGuid}`;
    // Room only shrinks during an auction: what did not fit once does not fit later.
    const refused = this.#refused.get(size);
    if (refused !== undefined) return { item, error: refused };

    const eligible = this.#eligibleFor(kind, item);
    const cell = this.#best(item, eligible);
    if (cell < 0) {
      const error = this.#reason(item, eligible);
      this.#refused.set(size, error);
      return { item, error };
    }
    this.#take(item, cell);
    return { item, cell };
  }

  #best(item: AuctionItem, eligible: Int32Array): number {
    const { memoryMb, diskMb } = item;
    const spread = item.processGuid === null ? null : this.#spreadOf(item.processGuid);
    const zones = spread?.zones ?? new Int32Array(this.#zones);
    const here = this.#here;
    if (spread) for (const [cell, count] of spread.cells) here[cell] = count;
    const memory = this.#memory;
    const disk = this.#disk;
    const containers = this.#containers;
    const held = this.#heldBy(item.organizationGuid);
    const load = this.#load;
    const zone = this.#zone;
    let best = -1;
    let bestZone = 0;
    let bestHere = 0;
    let bestLoad = 0;
    for (let i = 0; i < eligible.length; i += 1) {
      const cell = eligible[i]!;
      if (memory[cell]! < memoryMb || disk[cell]! < diskMb || containers[cell]! < 1) continue;
      if (held !== null && held[cell]! >= containers[cell]! * CONTAINERS_FOR_EACH_FREE) continue;
      const inZone = zones[zone[cell]!]!;
      const onCell = here[cell]!;
      const loaded = load[cell]!;
      if (best >= 0) {
        if (inZone > bestZone) continue;
        if (inZone === bestZone) {
          if (onCell > bestHere) continue;
          if (onCell === bestHere && loaded >= bestLoad) continue;
        }
      }
      best = cell;
      bestZone = inZone;
      bestHere = onCell;
      bestLoad = loaded;
    }
    if (spread) for (const cell of spread.cells.keys()) here[cell] = 0;
    return best;
  }

  #take(item: AuctionItem, cell: number): void {
    this.#memory[cell]! -= item.memoryMb;
    this.#disk[cell]! -= item.diskMb;
    this.#containers[cell]! -= 1;
    this.#weigh(cell);
    const held = this.#heldBy(item.organizationGuid);
    if (held !== null) held[cell]! += 1;
    if (item.processGuid === null) return;
    const spread = this.#spreadOf(item.processGuid);
    spread.zones[this.#zone[cell]!]! += 1;
    spread.cells.set(cell, (spread.cells.get(cell) ?? 0) + 1);
  }

  #weigh(cell: number): void {
    const { totalMemoryMb, totalDiskMb, totalContainers } = this.#cells[cell]!;
    const free =
      this.#memory[cell]! / Math.max(totalMemoryMb, 1) +
      this.#disk[cell]! / Math.max(totalDiskMb, 1) +
      this.#containers[cell]! / Math.max(totalContainers, 1);
    this.#load[cell] = 1 - free / 3;
  }

  #heldBy(organizationGuid: string): Int32Array | null {
    if (organizationGuid === '') return null;
    const known = this.#held.get(organizationGuid);
    if (known) return known;
    const held = Int32Array.from(this.#cells, ({ organizations }) => organizations.get(organizationGuid) ?? 0);
    this.#held.set(organizationGuid, held);
    return held;
  }

  #spreadOf(processGuid: string): Spread {
    const known = this.#spreads.get(processGuid);
    if (known) return known;
    const spread: Spread = { zones: new Int32Array(this.#zones), cells: new Map() };
    for (const [cell, count] of this.#initial.get(processGuid) ?? []) {
      spread.zones[this.#zone[cell]!]! += count;
      spread.cells.set(cell, count);
    }
    this.#spreads.set(processGuid, spread);
    return spread;
  }

  #eligibleFor(kind: string, item: AuctionItem): Int32Array {
    const known = this.#eligible.get(kind);
    if (known) return known;
    const wanted = tagKey(item.placementTags);
    const eligible = Int32Array.from(
      this.#order.filter((position) => {
        const cell = this.#cells[position]!;
        return cell.stacks.includes(item.stack) && tagKey(cell.placementTags) === wanted;
      }),
    );
    this.#eligible.set(kind, eligible);
    return eligible;
  }

  /** In the words the CLI's users know from Diego. */
  #reason(item: AuctionItem, eligible: Int32Array): string {
    if (this.#cells.length === 0) return 'unable to communicate to compatible cells';
    if (eligible.length === 0) {
      return item.placementTags.length > 0
        ? `found no compatible cell with placement tags ${item.placementTags.map((tag) => `"${tag}"`).join(', ')}`
        : `found no compatible cell for required stack ${item.stack}`;
    }
    const held = this.#heldBy(item.organizationGuid);
    const hasShare = (cell: number): boolean =>
      held === null || this.#containers[cell]! < 1 || held[cell]! < this.#containers[cell]! * CONTAINERS_FOR_EACH_FREE;
    const lacking = (enough: (cell: number) => boolean): 'nowhere' | 'somewhere' | 'everywhere' =>
      eligible.every(enough) ? 'nowhere' : eligible.some(enough) ? 'somewhere' : 'everywhere';
    const resources = [
      { name: 'disk', lacks: lacking((cell) => this.#disk[cell]! >= item.diskMb) },
      { name: 'memory', lacks: lacking((cell) => this.#memory[cell]! >= item.memoryMb) },
      { name: 'containers', lacks: lacking((cell) => this.#containers[cell]! >= 1) },
      { name: "the organization's share of containers", lacks: lacking(hasShare) },
    ];
    const everywhere = resources.filter(({ lacks }) => lacks === 'everywhere');
    const named = everywhere.length > 0 ? everywhere : resources.filter(({ lacks }) => lacks === 'somewhere');
    return `insufficient resources: ${named.map(({ name }) => name).join(', ')}`;
  }
}
