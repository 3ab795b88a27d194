import { randomUUID } from 'node:crypto';
import { Enums, Models, Serialize, Spec } from '@cyclonedx/cyclonedx-library';
import type { Inventory, Part, Software } from './software.ts';

const ALGORITHMS = {
  'SHA-256': Enums.HashAlgorithm['SHA-256'],
  'SHA-512': Enums.HashAlgorithm['SHA-512'],
} as const;
const TYPES: Readonly<Record<Part['kind'], Enums.ComponentType>> = {
  engines: Enums.ComponentType.Container,
  stack: Enums.ComponentType.Container,
  buildpack: Enums.ComponentType.Application,
  npm: Enums.ComponentType.Application,
  machine: Enums.ComponentType.OperatingSystem,
};

/**
 * As a CycloneDX 1.6 document. Each part is a component of the platform, and its packages are components that it depends on: the same package
 * stands there once for each part that has it, with where it runs. `serial`, `now`: of the document.
 */
export function cyclonedx(
  { parts, unknown }: Inventory,
  { serial = randomUUID(), now = new Date() }: { serial?: string; now?: Date } = {},
): string {
  const version = parts.find(({ kind }) => kind === 'npm')?.version;
  const platform = new Models.Component(Enums.ComponentType.Platform, 'cupola', {
    bomRef: 'cupola',
    ...(version === undefined ? {} : { version }),
  });
  const bom = new Models.Bom({
    serialNumber: `urn:uuid:${serial}`,
    metadata: new Models.Metadata({ timestamp: now, component: platform }),
  });
  for (const sentence of unknown) bom.metadata.properties.add(new Models.Property('cupola:unknown', sentence));
  for (const part of parts) {
    const [whole, ...packages] = componentsOf(part);
    platform.dependencies.add(whole!.bomRef);
    for (const component of [whole!, ...packages]) bom.components.add(component);
  }
  const serializer = new Serialize.JsonSerializer(new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6));
  return serializer.serialize(bom, { sortLists: true, space: 2 });
}

/** The part itself, then its packages. */
function componentsOf(part: Part): Models.Component[] {
  const ref = `${part.kind}/${part.name}@${part.version}`;
  const whole = new Models.Component(TYPES[part.kind], part.name, {
    bomRef: ref,
    version: part.version,
    hashes: hashesOf(part.hashes),
    properties: new Models.PropertyRepository([new Models.Property('cupola:runs-in', part.runsIn)]),
  });
  const packages = new Map(part.packages.map((one) => [one.purl, packageOf(one, `${ref}#${one.purl}`, part)]));
  for (const { purl, needs } of part.packages) {
    const component = packages.get(purl)!;
    whole.dependencies.add(component.bomRef);
    for (const needed of needs) {
      const found = packages.get(needed);
      if (found !== undefined && found !== component) component.dependencies.add(found.bomRef);
    }
  }
  return [whole, ...packages.values()];
}

function packageOf(one: Software, bomRef: string, { kind, name, version, runsIn }: Part): Models.Component {
  const said = [
    ['cupola:part', `${kind} ${name} ${version}`],
    ['cupola:runs-in', runsIn],
    ...(one.usedFor === '' ? [] : [['cupola:used-for', one.usedFor]]),
  ] as const;
  const [group, own] = one.origin === 'npm' && one.name.startsWith('@') ? one.name.split('/') : [undefined, one.name];
  return new Models.Component(Enums.ComponentType.Library, own!, {
    ...{ bomRef, version: one.version, purl: one.purl, hashes: hashesOf(one.hashes) },
    ...(group === undefined ? {} : { group }),
    licenses: new Models.LicenseRepository(licencesOf(one)),
    properties: new Models.PropertyRepository(said.map(([key, value]) => new Models.Property(key!, value!))),
  });
}

function hashesOf(hashes: Software['hashes']): Models.HashDictionary {
  return new Models.HashDictionary(hashes.map(({ algorithm, hex }) => [ALGORITHMS[algorithm], hex]));
}

/** npm says SPDX expressions, of which a component has one alone; names of Debian's are none. */
function licencesOf({ origin, licences }: Software): Models.License[] {
  const [licence] = licences;
  if (origin === 'npm' && licence !== undefined) return [new Models.LicenseExpression(licence)];
  return licences.map((name) => new Models.NamedLicense(name));
}
