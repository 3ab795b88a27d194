/** conntrack's complaint that there was nothing to delete. */
export const NONE_DELETED = 'there was none to delete';
/** conntrack's complaint that somebody else deleted what it had found. */
export const GONE_MEANWHILE = 'it was gone meanwhile';

const CLASSES: readonly (readonly [pattern: RegExp, name: string])[] = [
  [/\b0 flow entries have been deleted/, NONE_DELETED],
  [/\bsuch conntrack doesn't exist/, GONE_MEANWHILE],
  [/environment variable|null\s*\(?\\?x00|invalid argument/i, 'an argument or environment variable is not acceptable'],
  [/does not exist|no such (file|container|process)|not found|ENOENT/i, 'something is missing'],
  [/already exists|file exists/i, 'something is there already'],
  [/in use|busy/i, 'something is in use'],
  [/no space left|disk quota/i, 'no space is left'],
  [/cannot allocate|out of memory|oom/i, 'memory ran out'],
  [/permission denied|operation not permitted/i, 'permission was denied'],
  [/too many|resource temporarily unavailable|rlimit/i, 'a limit of the machine was reached'],
  [/cgroup/i, 'a control group could not be used'],
  [/mount|rootfs/i, 'a file system could not be mounted'],
  [/certificate|private key|\bPEM\b/i, 'a certificate or key is not acceptable'],
  [/syntax error|parse error/i, 'what it was told could not be read'],
  [/not in gzip|look like a tar|unexpected end|not recoverable|corrupt/i, 'an archive is damaged'],
  [/not running|stopped|exited/i, 'the process does not run'],
  [/time(d )?out|deadline/i, 'it took too long'],
];

/**
 * The kind of what an engine complains of. Its own words may repeat what a tenant gave it (an environment variable, a file's
 * name), so they go into no log and no error (SECURITY 28).
 */
export function classOf(words: string): string {
  return CLASSES.find(([pattern]) => pattern.test(words))?.[1] ?? 'of a kind that has no name here';
}
