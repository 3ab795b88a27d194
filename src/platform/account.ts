import type { Owner } from '../kit/owned-files.ts';

/** An account of this machine that a component runs under. */
export interface Account extends Owner {
  name: string;
}
