import { CupolaError } from '../../kit/errors.ts';

/** Where an image is and which one: "registry.example.org:5000/team/app:1@sha256:…" taken apart. */
export interface ImageReference {
  /** Host and, where it is not 443, port, as the user wrote them; "docker.io" where none was named. */
  registry: string;
  repository: string;
  /** "latest" where neither tag nor digest was named. */
  tag: string | null;
  /** "sha256:…"; decides where there is a tag too. */
  digest: string | null;
}

const DEFAULT_REGISTRY = 'docker.io';
const HOST =
  /^(?=.{1,255}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*|\[[0-9a-f:]{2,39}\])(:\d{1,5})?$/i;
/** The distribution specification, "Pulling manifests". */
const REPOSITORY = /^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** Throws `image_invalid`, whose message is for the developer. */
export function parseReference(text: string): ImageReference {
  if (text.includes('://')) throw invalid('the image must be named without a scheme');
  const [first = '', ...others] = text.split('/');
  // The first part is a host only where it looks like one: "team/app" is on the default registry.
  const named = others.length > 0 && (/[.:[]/.test(first) || first === 'localhost');
  const registry = named ? first : DEFAULT_REGISTRY;
  if (!HOST.test(registry)) throw invalid('the registry is not a host name');
  const [beforeDigest = '', digest, ...more] = (named ? others.join('/') : text).split('@');
  const [path = '', tag, ...tags] = beforeDigest.split(':');
  if (more.length > 0 || tags.length > 0) throw invalid('the image name is not valid');
  const repository = registry === DEFAULT_REGISTRY && !path.includes('/') ? `library/${path}` : path;
  if (repository.length > 255 || !REPOSITORY.test(repository)) throw invalid('the image name is not valid');
  if (tag !== undefined && !TAG.test(tag)) throw invalid('the image tag is not valid');
  if (digest !== undefined && !DIGEST.test(digest)) throw invalid('the image digest is not valid');
  return { registry, repository, tag: tag ?? (digest === undefined ? 'latest' : null), digest: digest ?? null };
}

/** The image by its digest, with the tag it was found by for people to read. */
export function pinned(reference: ImageReference, digest: string): string {
  const { registry, repository, tag } = reference;
  return `${registry}/${repository}${tag === null ? '' : `:${tag}`}@${digest}`;
}

/** Which manifest to ask the registry for. */
export function manifestName(reference: ImageReference): string {
  return reference.digest ?? reference.tag ?? 'latest';
}

export function isDigest(text: unknown): text is string {
  return typeof text === 'string' && DIGEST.test(text);
}

function invalid(message: string): CupolaError {
  return new CupolaError('image_invalid', message);
}
