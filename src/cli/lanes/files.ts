import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { startInLane } from './lane.ts';
import { ALONE, inLanes, inOrder } from './order.ts';
import type { Run } from './runs.ts';

/** A file of tests, and what became of it. */
export interface FileResult {
  file: string;
  seconds: number;
  /** Of all that ran on its machine; null where nothing counts it. */
  processorSeconds: number | null;
  /** Null where it passed. */
  failure: string | null;
  /** Titles with the reason, where one is given. */
  skipped: string[];
  /** What the runner printed. */
  output: string;
}

export interface HowToRun {
  root: string;
  env: NodeJS.ProcessEnv;
  run: Run;
  mostMinutes: number;
}

/**
 * Runs files of tests, so many at once, each in a lane of its own; those that want the machine to themselves one after the other when
 * the rest is done. Calls `done` as each ends.
 */
export async function runFiles(
  files: readonly string[],
  atOnce: number,
  how: HowToRun,
  done: (result: FileResult) => void,
): Promise<void> {
  const work = async (file: string): Promise<void> => done(await runFile(file, how));
  const together = files.filter((file) => !ALONE.has(file));
  await inLanes(inOrder(together), atOnce, work);
  for (const file of files.filter((one) => ALONE.has(one))) await work(file);
}

async function runFile(file: string, { root, env, run, mostMinutes }: HowToRun): Promise<FileResult> {
  const name = join(run.reports, file.replaceAll('/', '-'));
  const [spec, tap] = [`${name}.txt`, `${name}.tap`];
  const output = openSync(spec, 'w');
  const reporters = ['--test-reporter=spec', '--test-reporter-destination=stdout'];
  const results = ['--test-reporter=tap', `--test-reporter-destination=${tap}`];
  const args = ['--test', '--test-timeout=600000', ...reporters, ...results, join(root, file)];
  const began = Date.now();
  let late = false;
  try {
    const { child, ended } = await startInLane(run, process.execPath, args, { env, output });
    const timer = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, mostMinutes * 60_000);
    const { code, processorSeconds } = await ended.finally(() => clearTimeout(timer));
    const failure = late ? `took longer than ${mostMinutes} minutes` : code === 0 ? null : `ended with ${code}`;
    const said = { skipped: skippedTests(tap), output: readFileSync(spec, 'utf8') };
    return { file, ...since(began), processorSeconds, failure, ...said };
  } catch (error) {
    return {
      file,
      ...since(began),
      processorSeconds: null,
      failure: String(error),
      skipped: [],
      output: readFileSync(spec, 'utf8'),
    };
  } finally {
    closeSync(output);
  }
}

/** What a file took, e.g. "216 s, 98 s of processor". */
export function costs({ seconds, processorSeconds }: Pick<FileResult, 'seconds' | 'processorSeconds'>): string {
  const counted = processorSeconds === null ? '' : `, ${Math.round(processorSeconds)} s of processor`;
  return `${seconds} s${counted}`;
}

/** Where the time of a run goes, in lines for its summary: the files that took longest, and all together. */
export function mostCostly(results: readonly FileResult[], most = 10): string[] {
  if (results.length < 2) return [];
  const slowest = results.toSorted((one, other) => other.seconds - one.seconds).slice(0, most);
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const counted = results.flatMap(({ processorSeconds }) => processorSeconds ?? []);
  const all = {
    seconds: sum(results.map(({ seconds }) => seconds)),
    processorSeconds: counted.length > 0 ? sum(counted) : null,
  };
  return [
    ...slowest.map((result) => `${costs(result)}: ${result.file}`),
    `${costs(all)}: ${results.length} files together`,
  ];
}

function since(began: number): { seconds: number } {
  return { seconds: Math.round((Date.now() - began) / 1000) };
}

/** The TAP lines that say "# SKIP", with the reason. */
export function skippedTests(report: string): string[] {
  if (!existsSync(report)) return [];
  const lines = readFileSync(report, 'utf8').matchAll(/^\s*ok \d+ - (.*?) # SKIP ?(.*)$/gm);
  return [...lines].map(([, name, reason]) => (reason ? `${name} (${reason})` : `${name}`));
}
