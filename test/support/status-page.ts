import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { MADE, table } from './pages.ts';
import { projectFiles, ROOT, titlesOf } from './project-files.ts';

/** What the source documents ask for, begun or not. */
const ALL = 262;

interface Requirement {
  area: string;
  id: string;
  text: string;
  /** "done", "begun", and what is to be said of it. */
  state: string;
}

/** docs/status.md, of docs/requirements.md and of the tests whose titles name its ids. */
export function statusPage(): string {
  const page = readFileSync(join(ROOT, 'docs/requirements.md'), 'utf8');
  const all = requirementsIn(page);
  const titles = projectFiles()
    .filter((path) => path.endsWith('.test.ts'))
    .flatMap(titlesOf);
  const tests = (ids: readonly string[]): number =>
    titles.filter((title) => idsOf(title).some((id) => ids.includes(id))).length;
  const isDone = ({ state }: Requirement): boolean => /^done\b/.test(state);
  const areas = [...Map.groupBy(all, ({ area }) => area)].map(([area, of]) => {
    const done = of.filter(isDone).length;
    return [area, String(done), String(of.length - done), String(tests(of.map(({ id }) => id)))];
  });
  const begun = all
    .filter((one) => !isDone(one))
    .map(({ id, text, state }) => [id, text, state.replace(/^begun(: )?/, '') || 'no test on the whole of it yet']);
  const works = all.filter(isDone).map(({ id, text }) => [id, text, String(tests([id]))]);
  const done = works.length;
  const attacks = titles.filter((title) => /^[A-Z0-9, -]*SECURITY\b/.test(title)).length;
  return `# Status

Made of [requirements.md](requirements.md) and of the tests whose titles name its ids; ${MADE}

Cupola is in an early state, and not for production. Of ${ALL} requirements ${done} are done, ${all.length - done} begun and ${ALL - all.length} come later.
Done is what tests hold on the real engines (PostgreSQL, HAProxy, runc, nftables), most of it through the official cf CLI, too.
Of the tests ${attacks} make an attack and see it fail ([SECURITY.md](../SECURITY.md)).

${table(['Area', 'Done', 'Begun', 'Tests that name them'], areas)}
## What works

${table(['Id', 'Requirement', 'Tests that name it'], works)}
## What is begun, and what is lacking

${table(['Id', 'Requirement', 'What holds, and what is lacking'], begun)}
## What comes later

${bulletsOf(page, 'Later')}

## What was not tried

${bulletsOf(page, 'Not tried')}
`;
}

function requirementsIn(page: string): Requirement[] {
  let area = '';
  return page.split('\n').flatMap((line) => {
    area = /^## (.+)/.exec(line)?.[1] ?? area;
    const [, id, text = '', state = ''] = /^\| ([A-Z]{2,4}-\d\d) +\| (.*?) +\| (.*?) +\|/.exec(line) ?? [];
    return id === undefined ? [] : [{ area, id, text, state }];
  });
}

/** "RTR-03, SECURITY 8: …" names RTR-03. */
export function idsOf(title: string): string[] {
  return title.split(': ')[0]!.match(/\b[A-Z]{2,4}-\d\d\b/g) ?? [];
}

function bulletsOf(page: string, section: string): string {
  const [, text = ''] = page.split(`\n## ${section}\n`);
  return text
    .split('\n## ')[0]!
    .split('\n')
    .filter((line) => line.startsWith('- '))
    .join('\n');
}
