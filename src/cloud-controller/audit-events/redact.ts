const HIDDEN = '[PRIVATE DATA HIDDEN]';
/** Fields whose value is a secret or may hold one, wherever they stand in a request. */
const SECRET =
  /pass(word|wd|code)|secret|token|credential|private_?key|authorization|^(var|env|environment_variables|environment_json|parameters|syslog_drain_url|route_service_url|command|docker_password)$/i;
const MAX_DEPTH = 16;

/** A copy without secrets (SECURITY 28). */
export function redact(data: Record<string, unknown>): Record<string, unknown> {
  return hide(data, 0) as Record<string, unknown>;
}

function hide(value: unknown, depth: number): unknown {
  if (value === null || typeof value !== 'object') return value;
  if (depth > MAX_DEPTH) return HIDDEN;
  if (Array.isArray(value)) return value.map((item) => hide(item, depth + 1));
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      name,
      SECRET.test(name) && inner !== null ? HIDDEN : hide(inner, depth + 1),
    ]),
  );
}
