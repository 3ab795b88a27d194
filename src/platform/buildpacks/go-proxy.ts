import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { PLAIN_ENVIRONMENT, run } from '../../kit/process.ts';
import type { DebianArchive } from './debian-package.ts';

/** A Go of the stack's distribution: too old to build with, but it knows where modules come from. */
const PACKAGE = 'golang-1.19-go';
const HOME_IN_PACKAGE = 'usr/lib/go-1.19';

/**
 * The module proxies of this machine, as a list like GOPROXY's. Go itself is asked, since it knows the environment, what
 * `go env -w` wrote, and its own default: the machine's, or where there is none, the distribution's, unpacked below `work`.
 */
export async function findGoProxy(debian: DebianArchive, work: string): Promise<string> {
  const { GOPROXY, PATH = PLAIN_ENVIRONMENT['PATH']!, HOME = '/root' } = process.env;
  if (GOPROXY) return GOPROXY;
  const ask = async (command: string, env: Record<string, string> = {}): Promise<string> =>
    (
      await run(command, ['env', 'GOPROXY'], {
        env: { ...PLAIN_ENVIRONMENT, PATH, HOME, GOTOOLCHAIN: 'local', ...env },
        showWords: true,
      })
    ).trim();
  try {
    return await ask('go');
  } catch {
    // no Go on this machine
  }
  const [found] = await debian.fetch([PACKAGE]);
  const directory = await mkdtemp(join(work, 'go-client-'));
  await run('dpkg-deb', ['-x', found!.file, directory], { showWords: true });
  const root = join(directory, HOME_IN_PACKAGE);
  return ask(join(root, 'bin/go'), { GOROOT: root });
}
