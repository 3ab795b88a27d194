import type { RouteOptions } from '../routes/options.ts';
import type { ManifestProcess } from './processes.ts';
import type { RouteString } from './route-string.ts';

/** One app of a manifest, read and checked. Absent fields mean "leave as it is". */
export interface ManifestApp {
  name: string;
  /** As an array even where the manifest said `buildpack`; empty: detect. */
  buildpacks?: string[];
  stack?: string;
  /** The app is of a container image; a push brings it in a package of its own. */
  docker?: { image?: string; username?: string };
  env?: Record<string, string>;
  processes: ManifestProcess[];
  routes?: ManifestRoute[];
  noRoute: boolean;
  randomRoute: boolean;
  defaultRoute: boolean;
  sidecars: ManifestSidecar[];
  metadata?: { labels: Record<string, string | null>; annotations: Record<string, string | null> };
  features: Record<string, boolean>;
  services: string[];
}

export interface ManifestRoute {
  spelling: string;
  route: RouteString;
  protocol: 'http1' | 'http2' | null;
  /** Merged into what the route has; absent: stays. */
  options?: RouteOptions;
}

export interface ManifestSidecar {
  name: string;
  command: string;
  processTypes: string[];
  memoryMb: number | null;
}
