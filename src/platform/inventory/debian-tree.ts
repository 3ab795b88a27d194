import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PackageURL } from 'packageurl-js';
import { osRelease } from '../../kit/debian/os-release.ts';
import type { Software } from './software.ts';

/** A package in dpkg's list. */
export interface DebianPackage {
  name: string;
  version: string;
  architecture: string;
  /** What else it is known by: "libc6" of "libc6:amd64", and what it provides. */
  provides: readonly string[];
  /** One of each group is there. */
  depends: readonly (readonly string[])[];
}

/** The distribution that a tree is of, as os-release(5) says. */
interface Distribution {
  id: string;
  release: string;
}

/** dpkg's list of a tree; what is removed is not in it. Throws what the system says where there is none. */
export function debianPackages(root: string): DebianPackage[] {
  const stanzas = readFileSync(join(root, 'var/lib/dpkg/status'), 'utf8').split(/\n{2,}/);
  return stanzas.map(fieldsOf).flatMap((fields) => {
    const [name, version, architecture] = ['Package', 'Version', 'Architecture'].map((field) => fields.get(field));
    const isThere = fields.get('Status') === 'install ok installed';
    if (!isThere || name === undefined || version === undefined || architecture === undefined) return [];
    const depends = [fields.get('Pre-Depends'), fields.get('Depends')].flatMap(relations);
    return [{ name, version, architecture, depends, provides: relations(fields.get('Provides')).flat() }];
  });
}

/** Each package with what it depends on; `usedFor` has to say it of those that are wanted for themselves, and the rest serve them. */
export function debianSoftware(
  root: string,
  packages: readonly DebianPackage[],
  usedFor: (name: string) => string | undefined,
): Software[] {
  const distribution = distributionOf(root);
  const needs = neededBy(packages);
  const wanted = packages.filter(({ name }) => usedFor(name) !== undefined);
  const servedBy = new Map(wanted.map(({ name }) => [name, reachableFrom(name, needs)]));
  return packages.map((one) => {
    const serves = wanted.filter(({ name }) => servedBy.get(name)!.has(one.name)).map(({ name }) => name);
    return {
      ...{ origin: 'deb', name: one.name, version: one.version, hashes: [] },
      purl: debianUrl(one, distribution),
      licences: licencesOf(root, one.name),
      needs: needs.get(one.name)!.map((needed) => debianUrl(needed, distribution)),
      usedFor: usedFor(one.name) ?? (serves.length > 0 ? `for ${serves.join(', ')}` : ''),
    };
  });
}

/** `architecture`: where it is known. */
export function debianUrl(
  { name, version, architecture }: Pick<DebianPackage, 'name' | 'version'> & { architecture?: string },
  { id, release }: Distribution,
): string {
  const qualifiers = { ...(architecture ? { arch: architecture } : {}), distro: `${id}-${release}` };
  return new PackageURL('deb', id, name, version, qualifiers).toString();
}

/** "debian" and "13". */
export function distributionOf(root: string): Distribution {
  const said = osRelease(root);
  return { id: said.get('ID') ?? 'debian', release: said.get('VERSION_ID') ?? '' };
}

function fieldsOf(stanza: string): ReadonlyMap<string, string> {
  return new Map([...stanza.matchAll(/^([\w-]+): (.*)$/gm)].map(([, field, value]) => [field!, value!]));
}

/** "a | b (>= 1), c:any" as [[a, b], [c]]. */
function relations(text: string | undefined): string[][] {
  if (text === undefined) return [];
  return text.split(',').map((group) => group.split('|').map((one) => /^\s*([a-z0-9.+-]+)/.exec(one)?.[1] ?? ''));
}

function neededBy(packages: readonly DebianPackage[]): Map<string, DebianPackage[]> {
  const known = new Map<string, DebianPackage>();
  for (const one of packages) for (const name of one.provides) known.set(name, one);
  for (const one of packages) known.set(one.name, one);
  return new Map(
    packages.map(({ name, depends }) => {
      const found = depends.flatMap((group) => group.map((one) => known.get(one)).find(Boolean) ?? []);
      return [name, [...new Set(found)]];
    }),
  );
}

function reachableFrom(name: string, needs: ReadonlyMap<string, readonly DebianPackage[]>): Set<string> {
  const reached = new Set([name]);
  for (const one of reached) for (const needed of needs.get(one) ?? []) reached.add(needed.name);
  return reached;
}

/** Of its copyright file, where that is in the form that programs read; its names are Debian's (GPL-2+). */
function licencesOf(root: string, name: string): string[] {
  const path = join(root, 'usr/share/doc', name, 'copyright');
  if (!existsSync(path)) return [];
  const text = readFileSync(path, 'utf8');
  if (!text.startsWith('Format:')) return [];
  return [...new Set([...text.matchAll(/^License: *(\S.*?) *$/gm)].map(([, licence]) => licence!))];
}
