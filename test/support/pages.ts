import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { TSchema } from 'typebox';
import { EVENTS } from '../../src/cloud-controller/audit-events/catalogue.ts';
import { CF_ERRORS } from '../../src/cloud-controller/errors.ts';
import { HttpRefusal, REFUSAL_KINDS } from '../../src/kit/refusal.ts';
import { UAA_ERRORS } from '../../src/uaa/errors.ts';
import { projectFiles, ROOT } from './project-files.ts';

/** How a page says that nobody writes it by hand. */
export const MADE = 'after a change of it, run `UPDATE_GOLDEN=1 node --test test/unit/house/pages.test.ts`.';

/** A table in Markdown, whose columns stand below each other. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [head, ...rows].map((row) => row.map((cell) => cell.replaceAll('|', '\\|')));
  const widths = head.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)));
  const line = (row: readonly string[]) => `| ${row.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |\n`;
  return [line(cells[0]!), line(widths.map((width) => '-'.repeat(width))), ...cells.slice(1).map(line)].join('');
}

export const code = (text: string): string => `\`${text}\``;

/** docs/audit-events.md, of the catalogue. */
export function auditEventsPage(): string {
  const rows = Object.entries(EVENTS).map(([type, kind]) => [
    code(type),
    kind.target,
    code(shown(kind.data)),
    'observed' in kind ? kind.observed : '',
  ]);
  return `# Audit events

Made of \`src/cloud-controller/audit-events/catalogue.ts\`; ${MADE}

What \`GET /v3/audit_events\` shows to those whom [the permission table](permissions.md) lets see it. Each event says when it was, who
acted (\`actor\`), on what (\`target\`), in which space and organization, and its \`data\`. An event is kept in the transaction of its
change: neither is without the other ([0028](decisions/0028-an-event-and-its-change.md)).

In the data \`request\` without fields of its own is what the client sent, or as much of it as changed something; \`name?\` is left out
where there is none, and \`…\` stands for the fields of the request among the others. What may be a secret is kept as
\`[PRIVATE DATA HIDDEN]\`, and what is large of an event beyond 8 KiB as \`[TOO LARGE TO BE KEPT]\`. Where somebody
stands under "Observed by", the event belongs to no change of the database: they saw it happen, and the Cloud Controller records it.
A crash is recorded twice, as \`audit.app.process.crash\` of the actor process and as \`app.crash\` of the actor app.

${table(['Kind', 'Target', 'Data', 'Observed by'], rows)}`;
}

/** The parts of a schema that events use. */
interface Shape {
  type?: string;
  const?: unknown;
  properties?: Readonly<Record<string, Shape>>;
  required?: readonly string[];
  additionalProperties?: unknown;
  patternProperties?: unknown;
  items?: Shape;
  anyOf?: readonly Shape[];
}

function shown(schema: TSchema | Shape): string {
  const shape = schema as Shape;
  const { properties = {}, required = [], additionalProperties: more } = shape;
  if (shape.anyOf) return shape.anyOf.map(shown).join(' | ');
  if (shape.const !== undefined) return JSON.stringify(shape.const);
  if (shape.patternProperties) return '…';
  if (shape.type === 'array') return `${shown(shape.items!)}[]`;
  if (shape.type !== 'object') return shape.type ?? 'anything';
  const fields = Object.entries(properties).map(([name, inner]) => {
    const text = shown(inner);
    return `${name}${required.includes(name) ? '' : '?'}${text === '…' ? '' : `: ${text}`}`;
  });
  if (more !== undefined && more !== false) fields.push('…');
  return fields.length === 0 ? '{}' : `{ ${fields.join(', ')} }`;
}

/** docs/decisions/README.md, of the records' own titles. */
export function decisionsPage(): string {
  const files = projectFiles().filter((path) => /^docs\/decisions\/\d{4}-.*\.md$/.test(path));
  const rows = files.toSorted().map((path) => {
    const [, number, title] = /^# (\d{4}): (.+)\n/.exec(readFileSync(join(ROOT, path), 'utf8'))!;
    return { number: number!, line: `- [${number}](${basename(path)}): ${title}\n` };
  });
  const taken = new Set(rows.map(({ number }) => number));
  const all = Array.from({ length: Number(rows.at(-1)!.number) }, (_, index) => String(index + 1).padStart(4, '0'));
  return `# Decisions

Made of the records' titles; ${MADE}

${rows.map(({ line }) => line).join('')}
Not used: ${all.filter((number) => !taken.has(number)).join(', ')}.
`;
}

/** docs/errors.md, of the closed sets of errors and of what is thrown; what to do is taken over from the page as it is. */
export function errorsPage(before: string): string {
  const api = Object.entries(CF_ERRORS)
    .toSorted(([, one], [, other]) => one.code - other.code)
    .map(([title, error]) => [String(error.code), code(`CF-${title}`), String(error.status)]);
  const uaa = Object.entries(UAA_ERRORS).map(([kind, { error, status }]) => [
    code(error),
    String(status),
    kind.replaceAll('_', ' '),
  ]);
  const door = REFUSAL_KINDS.map((kind) => [code(kind), String(new HttpRefusal(kind, '').status)]);
  const advice = advised(before);
  const own = [...thrownCodes()].map(([name, rooms]) => [code(name), rooms.join(', '), advice.get(name) ?? '']);
  return `# Errors

The first two tables are made of \`CF_ERRORS\` and \`UAA_ERRORS\`, the third of the codes that the code throws, with what people wrote to
them here; ${MADE}

## The API

\`{"errors": [{"code": …, "title": …, "detail": …}]}\`. The detail says what happened and what to do. A body that came too slowly is
answered with 408, one that is too large with 413 and one of another type with 415, under the title that fits; a job that failed has
the same form in its \`errors\`.

${table(['Code', 'Title', 'Status'], api)}
## UAA

\`{"error": …, "error_description": …}\`, as OAuth 2.0 and SCIM have it.

${table(['Error', 'Status', 'Of what'], uaa)}
## At the door

What either refuses before an operation runs is logged under the reason, and answered in the form of the two above.

${table(['Reason', 'Status'], door)}
## The platform

What an operator finds as the \`code\` of an error in a log line; a command shows its message alone. A fault of the code itself is called
one: keep the log line, and report it.

${table(['Code', 'Where', 'What to do'], own)}`;
}

/** What stands in the last table of the page, by code. */
export function advised(page: string): Map<string, string> {
  const rows = page.slice(page.indexOf('\n## The platform\n')).matchAll(/^\| `(\w+)` +\| [^|]+ \| (.*?) *\|$/gm);
  return new Map([...rows].map(([, name, advice]) => [name!, advice!]));
}

const THROWN = /(?:new CupolaError\(\s*(?:'(\w+)'|([^,]+))\s*,)|(?:\bcode: (?:'(\w+)'|([A-Z_]+)), what:)/g;
/** They say again what others say: who threw it at the other end of a socket, or who has something checked. */
const RELAYS: ReadonlySet<string> = new Set(['src/platform/admin-socket.ts', 'src/kit/checked.ts']);

/** Every code of a CupolaError, with the rooms or parts that throw it. Throws where one cannot be read off. */
export function thrownCodes(): Map<string, string[]> {
  const found = new Map<string, Set<string>>();
  for (const path of projectFiles().filter((name) => name.startsWith('src/') && name.endsWith('.ts'))) {
    const text = readFileSync(join(ROOT, path), 'utf8');
    for (const [, thrown, expression, told, toldAs] of text.matchAll(THROWN)) {
      const variable = expression ?? toldAs ?? '';
      const constant = /^[A-Z_]+$/.test(variable) && new RegExp(`^const ${variable} = '(\\w+)';`, 'm').exec(text)?.[1];
      const name = thrown ?? told ?? (constant || undefined);
      if (name !== undefined) found.set(name, (found.get(name) ?? new Set()).add(dirname(path).slice('src/'.length)));
      else if (!RELAYS.has(path))
        throw new Error(`${path}: the code of a CupolaError is ${variable}, and no plain word`);
    }
  }
  return new Map([...found].toSorted(([one], [other]) => (one < other ? -1 : 1)).map(([name, at]) => [name, [...at]]));
}
