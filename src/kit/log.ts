import { AsyncLocalStorage } from 'node:async_hooks';
import { codeOf } from './errors.ts';
import { isSecretName, withShownAddresses } from './secrets.ts';

/** Values a log line may carry beside its message. Secrets are never passed here. */
export type LogFields = Record<string, unknown>;
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

const LEVELS: Record<LogLevel, number> = { debug: 10, info: 20, warn: 30, error: 40 };

const request = new AsyncLocalStorage<{ requestId: string }>();

/** Runs `body` so that every line logged inside carries the request's id. */
export function withRequestId<T>(requestId: string, body: () => T): T {
  return request.run({ requestId }, body);
}

// What a full disk does not take is lost: who writes it goes on, and what it writes next is taken where there is room again.
process.stdout.on('error', () => {});

/** Structured log: one JSON object a line on standard output. */
export class Logger {
  readonly #component: string;
  readonly #fields: LogFields;
  readonly #write: (line: string) => void;
  readonly #level: number;

  constructor(
    component: string,
    fields: LogFields = {},
    write: (line: string) => void = (line) => process.stdout.write(line),
    level: LogLevel = 'info',
  ) {
    this.#component = component;
    this.#fields = fields;
    this.#write = write;
    this.#level = LEVELS[level];
  }

  child(component: string, fields: LogFields = {}): Logger {
    const level = (Object.keys(LEVELS) as LogLevel[]).find((name) => LEVELS[name] === this.#level);
    return new Logger(`${this.#component}.${component}`, { ...this.#fields, ...fields }, this.#write, level);
  }

  debug(message: string, fields?: LogFields): void {
    this.#log('debug', message, fields);
  }
  info(message: string, fields?: LogFields): void {
    this.#log('info', message, fields);
  }
  warn(message: string, fields?: LogFields): void {
    this.#log('warn', message, fields);
  }
  error(message: string, fields?: LogFields): void {
    this.#log('error', message, fields);
  }

  #log(level: LogLevel, message: string, fields: LogFields = {}): void {
    if (LEVELS[level] < this.#level) return;
    const line = {
      time: new Date().toISOString(),
      level,
      component: this.#component,
      message: withShownAddresses(message),
      ...request.getStore(),
      ...redact({ ...this.#fields, ...fields }),
    };
    this.#write(`${JSON.stringify(line)}\n`);
  }
}

function redact(fields: LogFields): LogFields {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, isSecretName(name) ? '[redacted]' : plain(value)]),
  );
}

function plain(value: unknown): unknown {
  if (typeof value === 'string') return withShownAddresses(value);
  if (value instanceof Error) {
    const { name, message, stack } = value;
    const code = codeOf(value);
    return {
      name,
      ...(code === undefined ? {} : { code }),
      message: withShownAddresses(message),
      stack: stack && withShownAddresses(stack),
    };
  }
  if (typeof value === 'bigint') return value.toString();
  if (Array.isArray(value)) return value.map(plain);
  if (value !== null && typeof value === 'object') return redact(value as LogFields);
  return value;
}
