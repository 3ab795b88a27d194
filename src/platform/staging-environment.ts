import { existsSync } from 'node:fs';
import { join } from 'node:path';
import Type from 'typebox';
import { readCheckedFile } from '../kit/checked.ts';
import { replaceFile } from '../kit/owned-files.ts';
import type { Layout } from './layout.ts';
import { machineRegistries } from './registries.ts';

const Environment = Type.Record(Type.String(), Type.String());

const fileOf = (layout: Layout): string => join(layout.settings.dataDirectory, 'staging-environment.json');

/** Writes down what staging containers are told: this machine's registries and proxies, and over them what the operator set. */
export async function prepareStagingEnvironment(layout: Layout): Promise<void> {
  const environment = { ...(await machineRegistries()), ...layout.settings.stagingEnvironment };
  const file = fileOf(layout);
  replaceFile(file, `${JSON.stringify(environment, null, 2)}\n`, { mode: 0o600 });
}

/** As the last `up` wrote it. Throws `invalid_file`. */
export function readStagingEnvironment(layout: Layout): Record<string, string> {
  const file = fileOf(layout);
  return existsSync(file) ? readCheckedFile(file, Environment) : {};
}
