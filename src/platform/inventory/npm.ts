import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { PackageURL } from 'packageurl-js';
import Type, { type Static } from 'typebox';
import { readCheckedFile } from '../../kit/checked.ts';
import type { Software } from './software.ts';

const Names = Type.Optional(Type.Record(Type.String(), Type.String()));
const Entry = Type.Object({
  version: Type.Optional(Type.String()),
  integrity: Type.Optional(Type.String()),
  license: Type.Optional(Type.Unknown()),
  dev: Type.Optional(Type.Boolean()),
  dependencies: Names,
  optionalDependencies: Names,
  peerDependencies: Names,
});
type Entry = Static<typeof Entry>;
/** package-lock.json, and what npm writes of what it installed: node_modules/.package-lock.json. */
const Lock = Type.Object({ version: Type.String(), packages: Type.Record(Type.String(), Entry) });

/** The version of a checkout, and of its npm packages what runs, without what only tests and tools have: what npm installed, where it says so. */
export function npmSoftware(project: string): { version: string; packages: Software[]; isInstalled: boolean } {
  const installed = join(project, 'node_modules/.package-lock.json');
  const isInstalled = existsSync(installed);
  const { version, packages } = readCheckedFile(isInstalled ? installed : join(project, 'package-lock.json'), Lock);
  const known = new Map(
    Object.entries(packages).filter(([path, { dev, version }]) => path !== '' && dev !== true && version !== undefined),
  );
  return { version, isInstalled, packages: [...known].map(([path, entry]) => softwareOf(path, entry, known)) };
}

function softwareOf(path: string, entry: Entry, known: ReadonlyMap<string, Entry>): Software {
  const named = { ...entry.dependencies, ...entry.optionalDependencies, ...entry.peerDependencies };
  const needs = Object.keys(named).flatMap((name) => {
    const place = placeOf(name, path, known);
    return place === undefined ? [] : [npmUrl(nameOf(place), known.get(place)!.version!)];
  });
  const name = nameOf(path);
  return {
    ...{ origin: 'npm', name, version: entry.version!, purl: npmUrl(name, entry.version!) },
    licences: typeof entry.license === 'string' ? [entry.license] : [],
    hashes: hashesOf(entry.integrity),
    needs: [...new Set(needs)],
    usedFor: '',
  };
}

/** As Node.js looks for it: below the package itself, then beside it, then further up. */
function placeOf(name: string, from: string, known: ReadonlyMap<string, Entry>): string | undefined {
  const parts = from.split('/node_modules/');
  const places = parts.map((_, index) => `${parts.slice(0, parts.length - index).join('/node_modules/')}/node_modules`);
  return [...places, 'node_modules'].map((place) => `${place}/${name}`).find((place) => known.has(place));
}

/** "@a/b" of "node_modules/x/node_modules/@a/b". */
const nameOf = (path: string): string => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);

export function npmUrl(name: string, version: string): string {
  const [scope, own] = name.startsWith('@') ? name.split('/') : [undefined, name];
  return new PackageURL('npm', scope, own!, version).toString();
}

/** Of Subresource Integrity ("sha512-…"). */
function hashesOf(integrity: string | undefined): Software['hashes'] {
  const digest = /^sha512-(\S+)$/.exec(integrity ?? '')?.[1];
  return digest === undefined ? [] : [{ algorithm: 'SHA-512', hex: Buffer.from(digest, 'base64').toString('hex') }];
}
