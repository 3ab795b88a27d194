import { isSecretName, withShownAddresses } from '../../kit/secrets.ts';

const HIDDEN = '[PRIVATE DATA HIDDEN]';
const MAX_DEPTH = 16;

/** A copy without secrets, and with addresses as they may be shown (SECURITY 28). */
export function redact(data: Record<string, unknown>): Record<string, unknown> {
  return hide(data, 0) as Record<string, unknown>;
}

function hide(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return withShownAddresses(value);
  if (value === null || typeof value !== 'object') return value;
  if (depth > MAX_DEPTH) return HIDDEN;
  if (Array.isArray(value)) return value.map((item) => hide(item, depth + 1));
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      name,
      isSecretName(name) && inner !== null ? HIDDEN : hide(inner, depth + 1),
    ]),
  );
}
