import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { machineRegistries } from './registries.ts';
import type { Layout } from './settings.ts';

const fileOf = (layout: Layout): string => join(layout.settings.dataDirectory, 'staging-environment.json');

/** Writes down what staging containers are told: this machine's registries and proxies, and over them what the operator set. */
export async function prepareStagingEnvironment(layout: Layout): Promise<void> {
  const environment = { ...(await machineRegistries()), ...layout.settings.stagingEnvironment };
  const file = fileOf(layout);
  writeFileSync(`${file}.part`, `${JSON.stringify(environment, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${file}.part`, file);
}

/** As the last `up` wrote it. */
export function readStagingEnvironment(layout: Layout): Record<string, string> {
  const file = fileOf(layout);
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>) : {};
}
