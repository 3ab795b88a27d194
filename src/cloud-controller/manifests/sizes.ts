/** Why a size was refused; the two sentences are the API's own. */
export type SizeProblem = 'unit' | 'number';

const UNITS: Readonly<Record<string, number>> = {
  B: 1,
  K: 1024,
  KB: 1024,
  M: 1024 ** 2,
  MB: 1024 ** 2,
  G: 1024 ** 3,
  GB: 1024 ** 3,
  T: 1024 ** 4,
  TB: 1024 ** 4,
};

/** Bytes of "512M", "1.5GB", "64kb". A unit is compulsory, as in a manifest. However many: who asks has bounds. */
export function parseBytes(text: string): { bytes: number } | { problem: SizeProblem } {
  const match = /^(-?\d+(?:\.\d+)?)\s*([A-Za-z]*)$/.exec(text.trim());
  if (!match) return { problem: /^-?\d/.test(text.trim()) ? 'unit' : 'number' };
  const factor = UNITS[match[2]!.toUpperCase()];
  if (factor === undefined) return { problem: 'unit' };
  return { bytes: Math.trunc(Number(match[1]) * factor) };
}

/** Whole megabytes of a manifest's size. */
export function parseMegabytes(text: string): { megabytes: number } | { problem: SizeProblem } {
  const parsed = parseBytes(text);
  return 'problem' in parsed ? parsed : { megabytes: Math.trunc(parsed.bytes / 1024 ** 2) };
}

/** Bytes a second of a log rate limit; "-1" means none and "0" means silence. */
export function parseLogRate(text: string): { bytes: number } | { problem: SizeProblem } {
  const trimmed = text.trim();
  if (trimmed === '-1' || trimmed === '0') return { bytes: Number(trimmed) };
  return parseBytes(trimmed);
}

/** The shortest exact spelling: 1024 → "1K", 1000 → "1000B". */
export function formatBytes(bytes: number): string {
  for (const unit of ['T', 'G', 'M', 'K']) {
    if (bytes !== 0 && bytes % UNITS[unit]! === 0) return `${bytes / UNITS[unit]!}${unit}`;
  }
  return `${bytes}B`;
}

/** The sentence the API gives for a size it cannot read. */
export function sizeSentence(attribute: string, problem: SizeProblem): string {
  return problem === 'unit'
    ? `${attribute} must use a supported unit: B, K, KB, M, MB, G, GB, T, or TB`
    : `${attribute} is not a number`;
}
