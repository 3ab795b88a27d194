import { CupolaError } from '../../kit/errors.ts';
import { isRecord } from '../../kit/json.ts';
import { isDigest } from './reference.ts';

/** A blob of a registry: OCI image specification, "Descriptor". */
export interface Descriptor {
  digest: string;
  size: number;
  mediaType: string;
}

export interface Manifest {
  config: Descriptor;
  /** Lowest first. */
  layers: Descriptor[];
}

/** For one of several platforms. */
export interface PlatformManifest {
  descriptor: Descriptor;
}

export const MEDIA_TYPES = {
  manifests: ['application/vnd.oci.image.manifest.v1+json', 'application/vnd.docker.distribution.manifest.v2+json'],
  indexes: ['application/vnd.oci.image.index.v1+json', 'application/vnd.docker.distribution.manifest.list.v2+json'],
} as const;

/** As many as one overlay file system is mounted of here. */
const MOST_LAYERS = 100;
const MOST_PLATFORMS = 200;
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

type Fields = Record<string, unknown>;

/** A manifest, or which one to fetch for this machine's platform. Throws `image_unsupported`. */
export function readManifest(json: string, architecture: string = process.arch): Manifest | PlatformManifest {
  const fields = parse(json);
  if (Array.isArray(fields['manifests'])) return choose(fields['manifests'], architecture);
  if (fields['schemaVersion'] !== 2 || !Array.isArray(fields['layers'])) {
    throw new CupolaError('image_unsupported', 'the image has a manifest of a kind that is not supported');
  }
  if (fields['layers'].length > MOST_LAYERS) {
    throw new CupolaError('image_unsupported', `the image has more than ${MOST_LAYERS} layers`);
  }
  return { config: descriptor(fields['config']), layers: fields['layers'].map(descriptor) };
}

/** The entry for Linux on this machine's kind of processor; of several the most general one. */
function choose(entries: readonly unknown[], architecture: string): PlatformManifest {
  const wanted = ARCHITECTURES[architecture] ?? architecture;
  const fitting = entries.slice(0, MOST_PLATFORMS).filter((entry): entry is Fields => {
    const platform = isRecord(entry) && isRecord(entry['platform']) ? entry['platform'] : {};
    return platform['os'] === 'linux' && platform['architecture'] === wanted;
  });
  const plain = fitting.find(({ platform }) => isRecord(platform) && !platform['variant']);
  const found = plain ?? fitting[0];
  if (!found) throw new CupolaError('image_unsupported', `the image is not made for linux/${wanted}`);
  return { descriptor: descriptor(found) };
}

function descriptor(value: unknown): Descriptor {
  const { digest, size, mediaType } = isRecord(value) ? value : {};
  if (!isDigest(digest) || typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw new CupolaError('image_invalid', 'the manifest of the image is not valid');
  }
  return { digest, size, mediaType: typeof mediaType === 'string' ? mediaType : '' };
}

function parse(json: string): Fields {
  try {
    const value: unknown = JSON.parse(json);
    if (isRecord(value)) return value;
  } catch {
    // said below
  }
  throw new CupolaError('image_invalid', 'the manifest of the image is not valid');
}

/** What an image says about running it: OCI image configuration, "config". */
export interface ImageConfig {
  entrypoint: string[];
  cmd: string[];
  environment: Record<string, string>;
  /** Absolute. */
  workingDirectory: string;
  /** "", "user", "uid", "user:group" or "uid:gid". */
  user: string;
  /** TCP ports, ascending. */
  ports: number[];
  /** Digests of the unpacked layers, lowest first. */
  diffIds: string[];
}

const MOST_ENVIRONMENT = 128 * 1024;

/** Throws `image_invalid`. */
export function readConfig(json: string): ImageConfig {
  const fields = parse(json);
  const config = isRecord(fields['config']) ? fields['config'] : {};
  const rootfs = isRecord(fields['rootfs']) ? fields['rootfs'] : {};
  const environment = texts(config['Env']).flatMap((line): [string, string][] => {
    const at = line.indexOf('=');
    return at > 0 ? [[line.slice(0, at), line.slice(at + 1)]] : [];
  });
  if (JSON.stringify(environment).length > MOST_ENVIRONMENT) {
    throw new CupolaError('image_invalid', 'the image sets more environment variables than a container can have');
  }
  const workingDirectory = typeof config['WorkingDir'] === 'string' ? config['WorkingDir'] : '';
  return {
    entrypoint: texts(config['Entrypoint']),
    cmd: texts(config['Cmd']),
    environment: Object.fromEntries(environment),
    workingDirectory: workingDirectory.startsWith('/') ? workingDirectory : `/${workingDirectory}`,
    user: typeof config['User'] === 'string' ? config['User'].slice(0, 255) : '',
    ports: Object.keys(isRecord(config['ExposedPorts']) ? config['ExposedPorts'] : {})
      .flatMap(tcpPort)
      .sort((one, other) => one - other)
      .slice(0, 10),
    diffIds: texts(rootfs['diff_ids']).filter(isDigest),
  };
}

/** "8080/tcp" or "8080". */
function tcpPort(text: string): number[] {
  const [, digits] = /^(\d{1,5})(?:\/tcp)?$/i.exec(text) ?? [];
  const port = Number(digits);
  return port >= 1 && port <= 65_535 ? [port] : [];
}

/** A zero byte would end an argument early. */
function texts(value: unknown): string[] {
  if (!Array.isArray(value)) return [];
  const list = value.filter((item): item is string => typeof item === 'string');
  if (list.some((item) => item.includes('\0'))) {
    throw new CupolaError('image_invalid', 'the configuration of the image is not valid');
  }
  return list;
}
