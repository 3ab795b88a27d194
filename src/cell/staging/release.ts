import { CupolaError } from '../../kit/errors.ts';
import { isRecord } from '../../kit/json.ts';
import { readSmallYaml, YAML_LIMITS } from '../../kit/yaml.ts';

/** Start commands by process type. */
export type ProcessTypes = Record<string, string>;

/** A process a buildpack starts beside the app's. */
export interface Sidecar {
  name: string;
  command: string;
  process_types: string[];
  memory_in_mb: number | null;
}

const MAXIMUM_BYTES = YAML_LIMITS.smallBytes;
const MAXIMUM_TYPES = 100;
const MAXIMUM_COMMAND = 4096;
const TYPE_NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,254}$/;

/**
 * What a buildpack's bin/release printed. It is written by the app's code as much as by the buildpack: size, depth of
 * references and shape are bounded (SECURITY-TESTS: alias bomb). Throws CupolaError `release_invalid`.
 */
export function parseRelease(text: string): ProcessTypes {
  const release = readYaml(text, 'what bin/release printed');
  if (release === null || release === undefined) return {};
  if (!isRecord(release)) throw invalid('what bin/release printed is not a mapping');
  const types = release['default_process_types'];
  if (types === null || types === undefined) return {};
  if (!isRecord(types)) throw invalid('default_process_types is not a mapping');
  return processTypes(types);
}

/**
 * A Procfile: "type: command" lines. Read as YAML like Cloud Foundry does, and line by line where a command holds what YAML
 * would not take. Throws CupolaError `release_invalid`.
 */
export function parseProcfile(text: string): ProcessTypes {
  if (text.trim() === '') return {};
  let entries: unknown = null;
  try {
    entries = readYaml(text, 'the Procfile');
  } catch (error) {
    if (text.length > MAXIMUM_BYTES) throw error;
  }
  if (isRecord(entries) && Object.values(entries).every((value) => typeof value === 'string')) {
    return processTypes(entries);
  }
  const lines = text.split(/\r?\n/).flatMap((line) => {
    const match = /^([A-Za-z0-9_-]+)\s*:\s+(\S.*)$/.exec(line);
    return match ? [[match[1]!, match[2]!.trim()] as const] : [];
  });
  if (lines.length === 0) throw invalid('the Procfile names no process type');
  return processTypes(Object.fromEntries(lines));
}

/**
 * A buildpack's launch.yml: its processes, and those of them that run beside others (`platforms.cloudfoundry.sidecar_for`).
 * Throws CupolaError `release_invalid`.
 */
export function parseLaunch(text: string): { processTypes: ProcessTypes; sidecars: Sidecar[] } {
  const launch = readYaml(text, 'launch.yml');
  const listed = isRecord(launch) ? (launch['processes'] ?? []) : [];
  if (!Array.isArray(listed) || !listed.every(isRecord)) throw invalid('the processes of launch.yml are not a list');
  const commands = processTypes(
    Object.fromEntries(listed.map(({ type, command }): [string, unknown] => [String(type), command])),
  );
  const sidecars: Sidecar[] = [];
  for (const process of listed) {
    const name = String(process['type']);
    const beside = sidecarFor(process);
    if (!beside) continue;
    sidecars.push({ name, command: commands[name]!, process_types: beside, memory_in_mb: memoryOf(process) });
    delete commands[name];
  }
  return { processTypes: commands, sidecars };
}

/** The `name` in a buildpack's config.yml; "" where there is none, for nothing but a display depends on it. */
export function parseName(text: string): string {
  try {
    const config = readYaml(text, 'config.yml');
    const name = isRecord(config) ? config['name'] : '';
    return typeof name === 'string' ? name : '';
  } catch {
    return '';
  }
}

function sidecarFor(process: Record<string, unknown>): string[] | null {
  const { platforms } = process;
  const platform = isRecord(platforms) ? platforms['cloudfoundry'] : null;
  const types = isRecord(platform) ? platform['sidecar_for'] : null;
  if (types === null || types === undefined) return null;
  if (!Array.isArray(types) || types.length > MAXIMUM_TYPES)
    throw invalid('sidecar_for is not a list of process types');
  if (!types.every((type) => typeof type === 'string' && TYPE_NAME.test(type))) {
    throw invalid('sidecar_for names a process type that is not allowed');
  }
  return types.length > 0 ? types : null;
}

function memoryOf(process: Record<string, unknown>): number | null {
  const { limits } = process;
  const memory = isRecord(limits) ? limits['memory'] : null;
  if (memory === null || memory === undefined || memory === 0) return null;
  if (!Number.isInteger(memory) || Number(memory) < 0 || Number(memory) > 2 ** 31 - 1) {
    throw invalid('the memory of a sidecar is not a number of megabytes');
  }
  return Number(memory);
}

function readYaml(text: string, what: string): unknown {
  if (Buffer.byteLength(text) > MAXIMUM_BYTES) throw invalid(`${what} is too long`);
  try {
    return readSmallYaml(text);
  } catch (cause) {
    throw invalid(`${what} is not valid YAML`, cause);
  }
}

function processTypes(entries: Record<string, unknown>): ProcessTypes {
  const types = Object.entries(entries);
  if (types.length > MAXIMUM_TYPES) throw invalid('there are too many process types');
  return Object.fromEntries(
    types.map(([type, command]) => {
      if (!TYPE_NAME.test(type)) throw invalid('a process type has a name that is not allowed');
      if (typeof command !== 'string' || command.length > MAXIMUM_COMMAND || command.includes('\0')) {
        throw invalid(`the start command of ${type} is not a text of at most ${MAXIMUM_COMMAND} characters`);
      }
      return [type, command];
    }),
  );
}

function invalid(message: string, cause?: unknown): CupolaError {
  return new CupolaError('release_invalid', message, { cause });
}
