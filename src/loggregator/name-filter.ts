/**
 * A metric name filter: the part of regular expressions that people use for names (`^cpu`, `http.*|rss$`, `a.b`),
 * matched without backtracking, since the pattern comes from whoever asks. Gives null for anything else.
 */
export function nameFilter(pattern: string): ((name: string) => boolean) | null {
  if (pattern.length > 256) return null;
  const alternatives = pattern.split('|').map(parse);
  const known = alternatives.filter((alternative) => alternative !== null);
  if (known.length < alternatives.length) return null;
  return (name) => known.some((tokens) => matches(tokens, name));
}

/** A character, any one character, or any run of characters. */
type Token = { char: string } | 'any' | 'run';

function parse(alternative: string): Token[] | null {
  const anchoredStart = alternative.startsWith('^');
  const anchoredEnd = alternative.endsWith('$') && !alternative.endsWith('\\$');
  const body = alternative.slice(anchoredStart ? 1 : 0, anchoredEnd ? -1 : undefined);
  const tokens: Token[] = anchoredStart ? [] : ['run'];
  for (let i = 0; i < body.length; i += 1) {
    const char = body[i]!;
    const next = body[i + 1];
    if (char === '\\') {
      if (next === undefined || /\w/.test(next)) return null;
      tokens.push({ char: next });
      i += 1;
    } else if (char === '.' && (next === '*' || next === '+')) {
      if (next === '+') tokens.push('any');
      tokens.push('run');
      i += 1;
    } else if (char === '.') {
      tokens.push('any');
    } else if (/[*+?()[\]{}^$]/.test(char)) {
      return null;
    } else {
      tokens.push({ char });
    }
  }
  if (!anchoredEnd) tokens.push('run');
  return tokens;
}

/** Goes back to the last run only: at most length × length steps. */
function matches(tokens: readonly Token[], name: string): boolean {
  let token = 0;
  let position = 0;
  let run = -1;
  let runPosition = 0;
  while (position < name.length) {
    const current = tokens[token];
    if (current === 'run') {
      run = token;
      runPosition = position;
      token += 1;
    } else if (current !== undefined && (current === 'any' || current.char === name[position])) {
      token += 1;
      position += 1;
    } else if (run >= 0) {
      runPosition += 1;
      position = runPosition;
      token = run + 1;
    } else {
      return false;
    }
  }
  while (tokens[token] === 'run') token += 1;
  return token === tokens.length;
}
