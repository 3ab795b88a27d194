/** Times in milliseconds. The defaults are what a foundation runs with. */
export interface DiegoSettings {
  /** A cell that was not heard of for this long is lost, and its work is placed elsewhere (DGO-04). */
  cellLostAfterMs: number;
  /** How long an instance that leaves its drained cell serves on beside the one that took its place. */
  evacuationOverlapMs: number;
  /** How often unplaced work is tried again without being woken. */
  auctionIntervalMs: number;
  /** How often what falls due by time (lost cells, restarts, expired tasks, completions) is looked for. */
  sweepIntervalMs: number;
  /** How often actual state is compared with desired state as a whole. */
  convergeIntervalMs: number;
  /** How long a cell may take to tell its state or stop an LRP. */
  repTimeoutMs: number;
  /** How long a cell may take to accept work. */
  performTimeoutMs: number;
  /** A cell that failed to answer is left out of auctions for this long. */
  silentCellPauseMs: number;
  /** How long work that was given to a cell stays reserved for that cell until it claims it. */
  placementLeaseMs: number;
  /** An actual LRP its cell does not know of is placed anew when it is older than this. */
  staleAfterMs: number;
  /** An LRP still CLAIMED after this long is stopped and placed anew. */
  claimedTooLongMs: number;
  /** A task that found no room for this long fails. */
  taskPatienceMs: number;
  /** How long a crash report is tried again. */
  noticePatienceMs: number;
  statsTimeoutMs: number;
  /** How many LRPs and tasks one auction places at most. */
  auctionBatch: number;
}

export const DEFAULT_SETTINGS: DiegoSettings = {
  cellLostAfterMs: 15_000, // five heartbeats; noticed within 20 s whatever the phase of the sweep
  evacuationOverlapMs: 1_000,
  auctionIntervalMs: 2_000,
  sweepIntervalMs: 1_000,
  convergeIntervalMs: 30_000,
  repTimeoutMs: 2_000,
  performTimeoutMs: 5_000,
  silentCellPauseMs: 3_000,
  placementLeaseMs: 30_000,
  staleAfterMs: 120_000,
  claimedTooLongMs: 20 * 60_000,
  taskPatienceMs: 30_000,
  noticePatienceMs: 60 * 60_000,
  statsTimeoutMs: 2_000,
  auctionBatch: 50_000,
};
