import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../../src/kit/process.ts';

/** A file system of its own size in a file, so that filling it hurts nobody else. */
export class SmallDisk {
  readonly #directory = mkdtempSync('/var/tmp/cupola-disk-');
  readonly mountPoint = join(this.#directory, 'mnt');
  readonly #bytes: number;

  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  async mount(): Promise<void> {
    const image = join(this.#directory, 'image');
    await run('truncate', ['-s', String(this.#bytes), image]);
    await run('mkfs.ext4', ['-q', '-m', '0', image]);
    await run('mkdir', [this.mountPoint]);
    await run('mount', ['-o', 'loop', image, this.mountPoint]);
  }

  /** Reserves what is free, without writing it, and then takes the last blocks one by one. */
  async fill(): Promise<void> {
    const filler = join(this.mountPoint, 'filler');
    for (let share = 1; share > 0.001; share /= 2) {
      const { bavail, bsize } = statfsSync(this.mountPoint);
      const bytes = Math.floor(bavail * share) * bsize;
      if (bytes > 0) await run('fallocate', ['-l', String(bytes), `${filler}.${share}`]).catch(() => '');
    }
    try {
      for (;;) writeFileSync(`${filler}.last`, Buffer.alloc(4096), { flag: 'a' });
    } catch {
      // no room for another block
    }
    const { bavail } = statfsSync(this.mountPoint);
    assert.ok(bavail < 16, `${bavail} blocks are left`);
  }

  free(): void {
    for (const name of readdirSync(this.mountPoint))
      if (name.startsWith('filler.')) rmSync(join(this.mountPoint, name));
  }

  async remove(): Promise<void> {
    if (existsSync(this.mountPoint)) await run('umount', ['-l', this.mountPoint]).catch(() => '');
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
