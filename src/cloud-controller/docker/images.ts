import type { Sealer } from '../../kit/crypto.ts';
import { isRecord } from '../../kit/json.ts';
import type { Db, WithDefault } from '../database.ts';
import { unprocessable } from '../errors.ts';
import { requireFeature } from '../feature-flags/store.ts';
import type { Lifecycle } from '../lifecycle.ts';

/** An image and what its registry asks for, as packages and droplets keep it. */
export interface DockerColumns {
  docker_image: string | null;
  docker_username: string | null;
  /** The password, sealed under the row's guid. */
  docker_key_label: string | null;
  docker_data: Buffer | null;
}

/** The same in a table. */
export type DockerTable = { [Column in keyof DockerColumns]: WithDefault<DockerColumns[Column]> };

export interface DockerImage {
  reference: string;
  username: string;
  password: string;
}

/** What a package or a droplet is of: bits of the blobstore, or an image of a registry. */
export const PACKAGE_TYPES = ['bits', 'docker'] as const;
export type PackageType = (typeof PACKAGE_TYPES)[number];
type BitsOrImage = { type: 'bits' } | { type: 'docker'; image: string; username: string | null };

/** Decides it: nowhere else is the column asked. */
export function bitsOrImage(row: Pick<DockerColumns, 'docker_image' | 'docker_username'>): BitsOrImage {
  const { docker_image: image, docker_username: username } = row;
  return image === null ? { type: 'bits' } : { type: 'docker', image, username };
}

type Owner = 'packages' | 'droplets';

const contextOf = (table: Owner, guid: string): string => `${table}.docker_password:${guid}`;

/** The columns of an image as they are to be stored (CC-02). */
export function sealImage(
  sealer: Sealer,
  table: Owner,
  guid: string,
  image: { reference: string; username?: string | null | undefined; password?: string | null | undefined },
): DockerColumns {
  const { reference, username, password } = image;
  const sealed = password ? sealer.seal(password, contextOf(table, guid)) : null;
  return {
    docker_image: reference,
    docker_username: username || null,
    docker_key_label: sealed?.keyLabel ?? null,
    docker_data: sealed?.data ?? null,
  };
}

/** Null where the row is of no image. */
export function openImage(sealer: Sealer, table: Owner, row: DockerColumns & { guid: string }): DockerImage | null {
  const made = bitsOrImage(row);
  if (made.type === 'bits') return null;
  const { docker_key_label: keyLabel, docker_data: data } = row;
  const password =
    keyLabel === null || data === null ? '' : sealer.open({ keyLabel, data }, contextOf(table, row.guid));
  return { reference: made.image, username: made.username ?? '', password };
}

/**
 * Throws FeatureDisabled for an app of images while the operator has not allowed them. Asked where the app is at hand: what starts or
 * stages it does not say of what kind it is, and manifests make apps too.
 */
export async function requireDocker(db: Db, lifecycle: Lifecycle): Promise<void> {
  if (lifecycle === 'docker') await requireFeature(db, 'diego_docker');
}

/** The TCP ports that staging found an image to expose. */
export function exposedPorts(executionMetadata: string): number[] {
  const ports = metadataOf(executionMetadata)['ports'];
  if (!Array.isArray(ports)) return [];
  return ports.flatMap((item: unknown) => {
    const { Port: port, Protocol: protocol } = (item ?? {}) as { Port?: unknown; Protocol?: unknown };
    return protocol === 'tcp' && typeof port === 'number' && Number.isInteger(port) && port > 0 && port < 65_536
      ? [port]
      : [];
  });
}

function metadataOf(json: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(json);
    return isRecord(value) ? value : {};
  } catch {
    return {};
  }
}

/** What a package of an app may be made of. Throws UnprocessableEntity. */
export function checkPackageType(lifecycle: Lifecycle, type: PackageType): void {
  if (lifecycle === 'docker' && type !== 'docker') {
    throw unprocessable('Cannot create bits package for a Docker app.');
  }
  if (lifecycle !== 'docker' && type === 'docker') {
    throw unprocessable('Cannot create Docker package for a buildpack app.');
  }
}
