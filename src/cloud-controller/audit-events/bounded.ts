import { isRecord } from '../../kit/json.ts';

const MOST_BYTES = 8_192;
const MOST_BYTES_OF_A_FIELD = 1_024;
const LEFT_OUT = '[TOO LARGE TO BE KEPT]';

type Data = Record<string, unknown>;

/**
 * What an event keeps of a request, which may be a hundred times as large: of one beyond 8 KiB the large fields are left out
 * by name, and where the many small ones are too much, all of it.
 */
export function bounded(data: Data): Data {
  if (bytesOf(data) <= MOST_BYTES) return data;
  const fewer = mapped(data, (value) => (isRecord(value) ? mapped(value, small) : small(value)));
  return bytesOf(fewer) <= MOST_BYTES ? fewer : mapped(data, small);
}

function small(value: unknown): unknown {
  return bytesOf(value) <= MOST_BYTES_OF_A_FIELD ? value : LEFT_OUT;
}

function mapped(data: Data, change: (value: unknown) => unknown): Data {
  return Object.fromEntries(Object.entries(data).map(([name, value]) => [name, change(value)]));
}

function bytesOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value) ?? '');
}
