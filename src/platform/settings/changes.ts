import type { PlatformSettings } from './schema.ts';

/** Added to what was said before; an empty value takes a name away. */
export function withStagingEnvironment(settings: PlatformSettings, added: Record<string, string>): PlatformSettings {
  const all = Object.entries({ ...settings.stagingEnvironment, ...added });
  return { ...settings, stagingEnvironment: Object.fromEntries(all.filter(([, value]) => value !== '')) };
}

const NO_REGISTRIES = { allowedRegistries: [], insecureRegistries: [] };

/** One of the two lists anew; the other stays. */
export function withRegistries(
  settings: PlatformSettings,
  changed: Partial<PlatformSettings['docker']>,
): PlatformSettings {
  return { ...settings, docker: { ...NO_REGISTRIES, ...settings.docker, ...changed } };
}

/** Some of the bounds anew; the others stay. */
export function withStorage(settings: PlatformSettings, changed: PlatformSettings['storage']): PlatformSettings {
  return { ...settings, storage: { ...settings.storage, ...changed } };
}

/** Some of the rates anew; the others stay. */
export function withRequests(settings: PlatformSettings, changed: PlatformSettings['requests']): PlatformSettings {
  return { ...settings, requests: { ...settings.requests, ...changed } };
}
