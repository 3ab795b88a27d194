import { PLAIN_ENVIRONMENT, run } from '../../src/kit/process.ts';

export const NETWORK_SKIP = process.getuid?.() === 0 ? false : 'needs root';

/**
 * What a program prints as JSON, run where the machine has no address, link or packet filter, does not forward, and may mount what
 * nobody else sees. `execute(command, ...words)` gives what a command prints.
 */
export async function inEmptyNetwork(program: string): Promise<unknown> {
  const text = `
    import { execFileSync } from 'node:child_process';
    const execute = (command, ...words) => execFileSync(command, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    execute('ip', 'link', 'set', 'lo', 'up');
    ${program}`;
  const args = ['--net', '--mount', process.execPath, '--input-type=module', '-e', text];
  return JSON.parse(await run('unshare', args, { env: PLAIN_ENVIRONMENT, showWords: true, timeoutMs: 60_000 }));
}

/** Where a program of `inEmptyNetwork` imports a file of `src` from. */
export function source(path: string): string {
  return JSON.stringify(new URL(`../../src/${path}`, import.meta.url).pathname);
}
