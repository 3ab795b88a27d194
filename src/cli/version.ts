import { join } from 'node:path';
import Type from 'typebox';
import { readCheckedFile } from '../kit/checked.ts';
import { PROJECT, programDigest } from '../kit/project.js';

/** Which code this is: its version, and the digest and directory that `status --json` has of the code that runs. */
export function version(): string {
  const { name, version: number } = readCheckedFile(join(PROJECT, 'package.json'), Package);
  return `${name} ${number}, code ${programDigest()} in ${PROJECT}, Node.js ${process.version}`;
}

const Package = Type.Object({ name: Type.String(), version: Type.String() });
