/** One line of `cupola doctor`. */
export interface Finding {
  area:
    | 'system'
    | 'kernel'
    | 'limits'
    | 'ports'
    | 'firewall'
    | 'clock'
    | 'disk'
    | 'names'
    | 'packages'
    | 'engines'
    | 'platform';
  what: string;
  state: 'ok' | 'warn' | 'fail';
  /** What was found. */
  found: string;
  /** What to do about it; only where it is not ok. */
  advice?: string;
}

type Check = (what: string, found: string) => Finding;

/** The three kinds of findings of one area. */
export function findingsOf(area: Finding['area']): {
  ok: Check;
  warn: (what: string, found: string, advice: string) => Finding;
  fail: (what: string, found: string, advice: string) => Finding;
} {
  return {
    ok: (what, found) => ({ area, what, state: 'ok', found }),
    warn: (what, found, advice) => ({ area, what, state: 'warn', found, advice }),
    fail: (what, found, advice) => ({ area, what, state: 'fail', found, advice }),
  };
}

/** As a table a person reads; what to do stands below the line it is about. */
export function renderFindings(
  findings: readonly Finding[],
  paint: (state: Finding['state'], text: string) => string = (_, text) => text,
): string {
  const width = Math.max(...findings.map(({ what }) => what.length));
  const lines: string[] = [];
  let area = '';
  for (const finding of findings) {
    if (finding.area !== area) lines.push(...(area === '' ? [] : ['']), finding.area);
    area = finding.area;
    lines.push(
      `  ${paint(finding.state, finding.state.padEnd(4))}  ${finding.what.padEnd(width)}  ${finding.found}`.trimEnd(),
    );
    if (finding.advice) lines.push(`        → ${finding.advice}`);
  }
  const count = (state: Finding['state']): number => findings.filter((finding) => finding.state === state).length;
  return [...lines, '', `${count('ok')} ok, ${count('warn')} to look at, ${count('fail')} in the way`].join('\n');
}
