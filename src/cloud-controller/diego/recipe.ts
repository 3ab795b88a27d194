import { create } from '@bufbuild/protobuf';
import {
  type DesiredLrp,
  DesiredLrpSchema,
  type EgressRule,
  type Route,
  type Task,
  TaskSchema,
} from '../../contracts/gen/diego_pb.js';
import type { AppIdentity } from '../apps/store.ts';
import type { DockerImage } from '../docker/images.ts';
import { lrpGuid } from '../processes/lrp-guid.ts';

export const STAGING_DOMAIN = 'cf-app-staging';
export const TASK_DOMAIN = 'cf-tasks';

/** A process as Diego is to run it. */
export interface ProcessRecipe {
  app: AppIdentity;
  processGuid: string;
  processType: string;
  version: string;
  instances: number;
  memoryMb: number;
  diskMb: number;
  logRateLimit: number;
  command: string;
  stack: string;
  placementTags: readonly string[];
  environment: Readonly<Record<string, string>>;
  healthCheck: RecipeHealthCheck;
  readinessCheck: Omit<RecipeHealthCheck, 'timeout'>;
  sidecars: readonly { name: string; command: string; memoryMb: number }[];
  ports: readonly number[];
  routes: readonly RecipeRoute[];
  egressRules: readonly RecipeEgressRule[];
  content: RecipeContent;
  /** Changes whenever routes or rules change, so that the reconciler sees it without asking for them. */
  annotation: string;
}

export interface RecipeHealthCheck {
  type: string;
  endpoint: string | null;
  timeout: number | null;
  invocationTimeout: number | null;
  interval: number | null;
}

/** What runs: bits of the blobstore, or an image by its digest. */
export type RecipeContent = { droplet: { url: string; sha256: string } } | { dockerImage: DockerImage };

export type RecipeRoute = Pick<Route, 'guid' | 'host' | 'path' | 'port' | 'protocol'>;
export type RecipeEgressRule = Pick<EgressRule, 'protocol' | 'destination' | 'ports' | 'type' | 'code' | 'log'>;

export function desiredLrp(recipe: ProcessRecipe): DesiredLrp {
  return create(DesiredLrpSchema, {
    processGuid: lrpGuid(recipe.processGuid, recipe.version),
    instances: recipe.instances,
    annotation: recipe.annotation,
    routes: recipe.routes.map((route) => ({ ...route })),
    stack: recipe.stack,
    placementTags: [...recipe.placementTags],
    memoryMb: recipe.memoryMb,
    diskMb: recipe.diskMb,
    logRateLimitBytesPerSecond: recipe.logRateLimit,
    startCommand: recipe.command,
    environment: pairs(recipe.environment),
    ports: [...recipe.ports],
    healthCheck: check(recipe.healthCheck),
    readinessHealthCheck: check({ ...recipe.readinessCheck, timeout: null }),
    sidecars: recipe.sidecars.map((sidecar) => ({ ...sidecar })),
    egressRules: recipe.egressRules.map((rule) => ({ ...rule })),
    owner: owner(recipe.app, recipe.processGuid, recipe.processType),
    ...recipe.content,
  });
}

/** What the build of an image asks of Diego. */
export type ImageStagingRecipe = Pick<
  StagingRecipe,
  'app' | 'buildGuid' | 'stack' | 'memoryMb' | 'diskMb' | 'timeoutSeconds' | 'placementTags'
> & { image: DockerImage };

/** Nothing of an image runs while it is staged: neither environment nor ways out. */
export function imageStagingTask(recipe: ImageStagingRecipe): Task {
  const { buildGuid: taskGuid, stack, memoryMb, diskMb, timeoutSeconds } = recipe;
  return create(TaskSchema, {
    ...{ taskGuid, domain: STAGING_DOMAIN, stack, memoryMb, diskMb, timeoutSeconds },
    placementTags: [...recipe.placementTags],
    owner: owner(recipe.app, '', 'staging'),
    work: { case: 'dockerStaging', value: { image: recipe.image } },
  });
}

function check({ type, endpoint, timeout, invocationTimeout, interval }: RecipeHealthCheck) {
  return {
    type,
    httpEndpoint: type === 'http' ? (endpoint ?? '/') : '',
    timeoutSeconds: timeout ?? 0,
    invocationTimeoutSeconds: invocationTimeout ?? 0,
    intervalSeconds: interval ?? 0,
  };
}

/** What a build asks of Diego. */
export interface StagingRecipe {
  app: AppIdentity;
  buildGuid: string;
  stack: string;
  memoryMb: number;
  diskMb: number;
  timeoutSeconds: number;
  placementTags: readonly string[];
  environment: Readonly<Record<string, string>>;
  egressRules: readonly RecipeEgressRule[];
  package: { url: string; sha256: string };
  /** Without a blob: the container fetches it from the address that is its name. */
  buildpacks: readonly {
    name: string;
    key: string;
    blob: { url: string; sha256: string } | null;
    skipDetect: boolean;
  }[];
  uploadDropletUrl: string;
  cache: { url: string; sha256: string } | null;
  uploadCacheUrl: string;
}

export function stagingTask(recipe: StagingRecipe): Task {
  return create(TaskSchema, {
    taskGuid: recipe.buildGuid,
    domain: STAGING_DOMAIN,
    stack: recipe.stack,
    memoryMb: recipe.memoryMb,
    diskMb: recipe.diskMb,
    environment: pairs(recipe.environment),
    egressRules: recipe.egressRules.map((rule) => ({ ...rule })),
    owner: owner(recipe.app, '', 'staging'),
    timeoutSeconds: recipe.timeoutSeconds,
    placementTags: [...recipe.placementTags],
    work: {
      case: 'staging',
      value: {
        package: recipe.package,
        buildpacks: recipe.buildpacks.map(({ name, key, blob, skipDetect }) => ({
          name,
          key,
          skipDetect,
          ...(blob ? { blob } : {}),
        })),
        uploadDroplet: { url: recipe.uploadDropletUrl, sha256: '' },
        cache: recipe.cache ?? { url: '', sha256: '' },
        uploadCache: { url: recipe.uploadCacheUrl, sha256: '' },
      },
    },
  });
}

/** What `POST /v3/apps/:guid/tasks` asks of Diego. */
export interface TaskRecipe {
  app: AppIdentity;
  taskGuid: string;
  taskName: string;
  stack: string;
  memoryMb: number;
  diskMb: number;
  logRateLimit: number;
  placementTags: readonly string[];
  command: string;
  environment: Readonly<Record<string, string>>;
  egressRules: readonly RecipeEgressRule[];
  content: RecipeContent;
}

export function commandTask(recipe: TaskRecipe): Task {
  return create(TaskSchema, {
    taskGuid: recipe.taskGuid,
    domain: TASK_DOMAIN,
    stack: recipe.stack,
    memoryMb: recipe.memoryMb,
    diskMb: recipe.diskMb,
    environment: pairs(recipe.environment),
    egressRules: recipe.egressRules.map((rule) => ({ ...rule })),
    // The cell makes the lines' source of it: "APP/TASK/<name>".
    owner: owner(recipe.app, '', recipe.taskName),
    logRateLimitBytesPerSecond: recipe.logRateLimit,
    placementTags: [...recipe.placementTags],
    work: { case: 'command', value: { command: recipe.command, ...recipe.content } },
  });
}

function owner(app: AppIdentity, processGuid: string, processType: string) {
  return { ...app, processGuid, processType };
}

function pairs(environment: Readonly<Record<string, string>>): { name: string; value: string }[] {
  return Object.entries(environment).map(([name, value]) => ({ name, value }));
}
