import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
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

  /** Not a byte is left. */
  fill(): void {
    const filler = join(this.mountPoint, 'filler');
    for (let chunk = 64 * 1024 ** 2; chunk >= 4096; chunk = Math.floor(chunk / 4)) {
      try {
        for (;;) writeFileSync(filler, Buffer.alloc(chunk), { flag: 'a' });
      } catch {
        // no room for a piece of this size
      }
    }
    const { bavail } = statfsSync(this.mountPoint);
    assert.ok(bavail < 16, `${bavail} blocks are left`);
  }

  free(): void {
    rmSync(join(this.mountPoint, 'filler'));
  }

  async remove(): Promise<void> {
    if (existsSync(this.mountPoint)) await run('umount', ['-l', this.mountPoint]).catch(() => '');
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
