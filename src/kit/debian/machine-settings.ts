import { run } from '../process.ts';

/** How a machine gets through to its mirrors, and whether they may be behind the times. */
const OURS = /^Acquire::(https?::(\S+::)?(Proxy|CA\w*|Ssl\w*|Timeout)|Check-(Valid-Until|Date))[ :]/i;

/** Of the machine's settings of apt those that fetch packages elsewhere than into the machine too, a setting a line. Throws `command_failed`. */
export async function machineAptSettings(): Promise<string[]> {
  const dump = await run('apt-config', ['dump'], { showWords: true });
  return dump.split('\n').filter((line) => OURS.test(line));
}

/** The environment's, for programs that are given no other variables. */
export function proxyVariables(): Record<string, string> {
  const names = ['http_proxy', 'https_proxy', 'no_proxy'];
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}
