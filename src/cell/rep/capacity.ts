/** What a cell has or work needs. */
export interface Resources {
  memoryMb: number;
  diskMb: number;
  containers: number;
}

/** Keeps the books of a cell's room. Everything is synchronous: what was answered to the auctioneer is already booked. */
export class Capacity {
  readonly total: Resources;
  readonly #reservations = new Map<string, { memoryMb: number; diskMb: number }>();
  #memoryMb = 0;
  #diskMb = 0;

  constructor(total: Resources) {
    this.total = total;
  }

  /** False, and nothing booked, when it does not fit. */
  reserve(handle: string, memoryMb: number, diskMb: number): boolean {
    const free = this.available();
    if (this.#reservations.has(handle) || free.containers < 1 || free.memoryMb < memoryMb || free.diskMb < diskMb) {
      return false;
    }
    this.adopt(handle, memoryMb, diskMb);
    return true;
  }

  /** Books what runs already, fit or not. */
  adopt(handle: string, memoryMb: number, diskMb: number): void {
    this.release(handle);
    this.#reservations.set(handle, { memoryMb, diskMb });
    this.#memoryMb += memoryMb;
    this.#diskMb += diskMb;
  }

  release(handle: string): void {
    const reservation = this.#reservations.get(handle);
    if (!reservation) return;
    this.#reservations.delete(handle);
    this.#memoryMb -= reservation.memoryMb;
    this.#diskMb -= reservation.diskMb;
  }

  available(): Resources {
    return {
      memoryMb: Math.max(0, this.total.memoryMb - this.#memoryMb),
      diskMb: Math.max(0, this.total.diskMb - this.#diskMb),
      containers: Math.max(0, this.total.containers - this.#reservations.size),
    };
  }
}
