import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LEFT } from '../machine-state.ts';
import type { BundledTests } from './bundled-tests.ts';
import { startInLane } from './lane.ts';
import { ALONE, inLanesThenAlone, inOrder, isTimed, secondsOf } from './order.ts';
import { type FailedTest, reportsIn } from './report.ts';
import { REPORTER } from './reporter.ts';
import type { Run } from './runs.ts';
import { argumentsFor, type Lane, lanesOf } from './shared.ts';
import { SPEC_REPORTER } from './spec-reporter.ts';

/** Of Node's test runner, whichever files it runs. */
export const RUNNER = [
  ...['--test', '--test-timeout=600000'],
  ...[`--test-reporter=${SPEC_REPORTER}`, '--test-reporter-destination=stdout'],
];

/** A file of tests, and what became of it. */
export interface FileResult {
  file: string;
  /** Null where the runner was never done with it. */
  seconds: number | null;
  passed: boolean;
  /** Titles with the reason, where one is given. */
  skipped: string[];
  failures: FailedTest[];
}

/** What became of the files that ran on one machine. */
export interface LaneResult {
  /** The lane's. */
  name: string;
  files: FileResult[];
  seconds: number;
  /** Of all that ran on the machine; null where nothing counts it. */
  processorSeconds: number | null;
  /** Null where all passed, and nothing was left on the machine. */
  failure: string | null;
  /** What the runner printed. */
  output: string;
}

export interface HowToRun {
  tests: BundledTests;
  env: NodeJS.ProcessEnv;
  run: Run;
  /** See `LaneOptions`. */
  inside?: string;
  mostMinutes: number;
  /** For each further file on the same machine. */
  moreMinutes: number;
}

/**
 * Runs files of tests, so many machines at once: each file on one of its own, but those that share a platform on that one's, one after
 * the other. What wants the machine to itself is tried when the rest is done. Calls `done` as each machine ends.
 */
export async function runFiles(
  files: readonly string[],
  atOnce: number,
  how: HowToRun,
  done: (result: LaneResult) => void,
): Promise<void> {
  const quietFile = join(how.run.reports, 'quiet');
  const told = { ...how, env: { ...how.env, CUPOLA_TEST_QUIET: quietFile } };
  const others = Promise.withResolvers<void>();
  const work = async (lane: Lane): Promise<void> =>
    done(await runLane(lane, told, alone.includes(lane) ? others.promise : Promise.resolve()));
  const together = files.filter((file) => !ALONE.has(file));
  const alone = files.filter((file) => ALONE.has(file)).map((file): Lane => ({ name: file, files: [file] }));
  const quiet = (): void => {
    writeFileSync(quietFile, '');
    others.resolve();
  };
  await inLanesThenAlone(inOrder(lanesOf(together, secondsOf)), alone, atOnce, work, quiet);
}

/** What it waits for is no time of its own: `waited` resolves when that is over. */
async function runLane(lane: Lane, how: HowToRun, waited: Promise<void>): Promise<LaneResult> {
  const { name, files } = lane;
  const { tests, env, run } = how;
  const written = join(run.reports, name.replaceAll(/[^a-z0-9.]+/g, '-'));
  const [spec, report] = [`${written}.txt`, `${written}.json`];
  const output = openSync(spec, 'w');
  const reports = [`--test-reporter=${REPORTER}`, `--test-reporter-destination=${report}`];
  const paths = files.map((file) => tests.pathOf(file));
  const shared = argumentsFor(files, (file) => tests.pathOf(file));
  const args = [...RUNNER, ...shared, ...reports, ...paths];
  const mostMinutes = how.mostMinutes + (files.length - 1) * how.moreMinutes;
  let began = Date.now();
  let ran: Pick<LaneResult, 'processorSeconds' | 'failure'>;
  let late = false;
  let timer: NodeJS.Timeout | undefined;
  let isOver = false;
  try {
    const { child, ended } = await startInLane(run, process.execPath, args, {
      env,
      output,
      goesFirst: isTimed(lane),
      ...(how.inside === undefined ? {} : { inside: how.inside }),
    });
    void waited.then(() => {
      if (isOver) return;
      began = Date.now();
      timer = setTimeout(() => {
        late = true;
        child.kill('SIGKILL');
      }, mostMinutes * 60_000);
    });
    const { code, processorSeconds } = await ended;
    const failure = late ? `took longer than ${mostMinutes} minutes` : code === 0 ? null : `ended with ${code}`;
    ran = { processorSeconds, failure };
  } catch (error) {
    ran = { processorSeconds: null, failure: String(error) };
  } finally {
    isOver = true;
    clearTimeout(timer);
    closeSync(output);
  }
  const seconds = Math.round((Date.now() - began) / 1000);
  const reported = new Map(reportsIn(report, tests).map(({ file, ...said }) => [file, said]));
  const results = files.map((file) => ({
    file,
    ...(reported.get(file) ?? { seconds: null, passed: false, skipped: [], failures: [] }),
  }));
  // A file of which the runner says nothing has held nothing.
  const unreported = results.some(({ passed }) => !passed) ? 'was not reported' : null;
  const said = readFileSync(spec, 'utf8');
  const failure = ran.failure ?? unreported;
  return {
    name,
    files: results,
    seconds,
    ...ran,
    failure: failure && [failure, ...leftIn(said)].join('; '),
    output: said,
  };
}

function leftIn(output: string): string[] {
  return output.split('\n').filter((line) => line.startsWith(LEFT));
}

/** What failed, and how, in words for the summary. */
export function failuresIn({ name, files, failure }: LaneResult): string[] {
  if (failure === null) return [];
  const failed = files.filter(({ passed }) => !passed);
  return failed.length === 0 ? [`${name} ${failure}`] : failed.map(({ file }) => `${file} ${failure}`);
}

/** A line for each of several files that had one machine. */
export function filesApart({ files }: LaneResult): string {
  if (files.length < 2) return '';
  const lines = files.map(({ file, seconds, passed }) => {
    const took = seconds === null ? 'not done' : `${seconds} s`;
    return `    ${file} (${took})${passed ? '' : ' FAILED'}`;
  });
  return `${lines.join('\n')}\n`;
}

/** What a machine took, e.g. "216 s, 98 s of processor". */
export function costs({ seconds, processorSeconds }: Pick<LaneResult, 'seconds' | 'processorSeconds'>): string {
  const counted = processorSeconds === null ? '' : `, ${Math.round(processorSeconds)} s of processor`;
  return `${seconds} s${counted}`;
}

/** Where the time of a run goes, in lines for its summary: what took longest, and all together. */
export function mostCostly(results: readonly LaneResult[], most = 10): string[] {
  if (results.length < 2) return [];
  const slowest = results.toSorted((one, other) => other.seconds - one.seconds).slice(0, most);
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const counted = results.flatMap(({ processorSeconds }) => processorSeconds ?? []);
  const all = {
    seconds: sum(results.map(({ seconds }) => seconds)),
    processorSeconds: counted.length > 0 ? sum(counted) : null,
  };
  return [
    ...slowest.map((result) => `${costs(result)}: ${result.name}`),
    `${costs(all)}: ${sum(results.map(({ files }) => files.length))} files together`,
  ];
}
