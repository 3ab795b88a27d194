import type { ColumnType, Generated } from 'kysely';
import type { RowColumns } from '../database.ts';
import type { DockerColumns } from '../docker/images.ts';
import type { BuildState, DropletState, PackageState } from '../droplets/state.ts';
import type { MetadataColumns } from '../metadata.ts';

type WithDefault<T> = ColumnType<T, T | undefined, T>;
type Row = RowColumns & { [Column in keyof MetadataColumns]: WithDefault<MetadataColumns[Column]> };

export type Lifecycle = 'buildpack' | 'docker';

type DockerTable = { [Column in keyof DockerColumns]: WithDefault<DockerColumns[Column]> };

export interface AppTable extends Row {
  name: string;
  space_guid: string;
  state: 'STOPPED' | 'STARTED';
  lifecycle: WithDefault<Lifecycle>;
  /** Buildpack names; empty: detect. */
  buildpacks: string[];
  /** For an image: where cells prepare it. */
  stack: string;
  /** The environment variables, sealed under the app's guid. */
  env_key_label: string | null;
  env_data: Buffer | null;
  droplet_guid: string | null;
  ssh_enabled: WithDefault<boolean>;
  revisions_enabled: WithDefault<boolean>;
  /** Whether an old and a new version may serve beside each other while the app is restarted. */
  rolling_restarts_enabled: WithDefault<boolean>;
}

/** How an instance proves that it is well; null leaves it to the platform. */
export interface HealthCheckColumns {
  health_check_type: string;
  health_check_endpoint: string | null;
  health_check_timeout: number | null;
  health_check_invocation_timeout: number | null;
  health_check_interval: number | null;
  readiness_type: string;
  readiness_endpoint: string | null;
  readiness_invocation_timeout: number | null;
  readiness_interval: number | null;
}

type Optional<T> = { [Key in keyof T]: null extends T[Key] ? ColumnType<T[Key], T[Key] | undefined, T[Key]> : T[Key] };

export interface ProcessTable extends Row, Optional<Omit<HealthCheckColumns, 'readiness_type'>> {
  app_guid: string;
  type: string;
  readiness_type: WithDefault<string>;
  /** What the user set; null: what the droplet says. */
  command: WithDefault<string | null>;
  instances: number;
  memory_mb: number;
  disk_mb: number;
  /** Bytes a second; -1: none. */
  log_rate_limit: number;
  state: 'STOPPED' | 'STARTED';
  /** Changes when running instances are to be replaced; part of the LRP's guid. */
  version: string;
  /** The droplet it runs: fixed when it is started, so that a newer one does not slip in with a moved instance. */
  droplet_guid: WithDefault<string | null>;
  revision_guid: WithDefault<string | null>;
}

/** With an image it is of that, else of bits. */
export interface PackageTable extends Row, DockerTable {
  app_guid: string;
  state: PackageState;
  error: WithDefault<string | null>;
  sha256: WithDefault<string | null>;
}

export interface BuildTable extends Row {
  app_guid: string;
  package_guid: string;
  state: BuildState;
  error: WithDefault<string | null>;
  /** The guid its droplet has, or will have. */
  droplet_guid: string;
  lifecycle: WithDefault<Lifecycle>;
  buildpacks: string[];
  stack: string;
  staging_memory_mb: number;
  staging_disk_mb: number;
  created_by_guid: string;
  created_by_name: string;
  /** When Diego took the task; null while it is to be handed over. */
  desired_at: WithDefault<Date | null>;
}

export interface DropletBuildpack {
  name: string;
  detect_output: string | null;
  buildpack_name: string | null;
  version: string | null;
}

/** With an image (by its digest) it is that, else bits of the blobstore. */
export interface DropletTable extends Row, DockerTable {
  app_guid: string;
  package_guid: string | null;
  state: DropletState;
  error: WithDefault<string | null>;
  sha256: WithDefault<string | null>;
  process_types: Record<string, string>;
  execution_metadata: WithDefault<string>;
  buildpacks: DropletBuildpack[];
  stack: string | null;
  /** What its buildpacks run beside the app. */
  sidecars: WithDefault<DropletSidecar[]>;
}

export interface DropletSidecar {
  name: string;
  command: string;
  process_types: string[];
  memory_mb: number | null;
}

export interface BuildpackTable extends Row {
  name: string;
  stack: string | null;
  position: number;
  state: 'AWAITING_UPLOAD' | 'READY';
  enabled: boolean;
  locked: boolean;
  filename: WithDefault<string | null>;
  sha256: WithDefault<string | null>;
  /** The blob's key; changes with the content, so that a staging under way keeps what it was given. */
  blob_key: WithDefault<string | null>;
}

/** The digest of each of the platform's own buildpacks as it was installed last. */
export interface SystemBuildpackTable {
  name: string;
  sha256: string;
}

export interface StackTable extends Row {
  name: string;
  description: string | null;
}

export interface DeploymentTable extends Row {
  app_guid: string;
  strategy: 'rolling' | 'canary' | 'recreate';
  status_value: 'ACTIVE' | 'FINALIZED';
  status_reason: 'DEPLOYING' | 'PAUSED' | 'CANCELING' | 'DEPLOYED' | 'CANCELED' | 'SUPERSEDED';
  max_in_flight: number;
  droplet_guid: string | null;
  previous_droplet_guid: string | null;
  old_process_guid: string;
  new_process_guid: string;
  original_instances: number;
  /** What the deployment brings; null leaves it as it was. */
  web_instances: WithDefault<number | null>;
  memory_mb: WithDefault<number | null>;
  disk_mb: WithDefault<number | null>;
  log_rate_limit: WithDefault<number | null>;
  /** Percentages of instances after which a canary pauses; null: after the first instance. */
  canary_steps: WithDefault<number[] | null>;
  /** Of those, counted from 1; null where it is no canary. */
  canary_step: WithDefault<number | null>;
  /** A canary whose last step was continued: the rest follows. */
  promoted: WithDefault<boolean>;
  last_healthy_at: WithDefault<Date | null>;
  status_updated_at: WithDefault<Date>;
}

export interface RevisionTable extends Row {
  app_guid: string;
  version: number;
  droplet_guid: string;
  description: string;
}

export interface SidecarTable extends Row {
  app_guid: string;
  name: string;
  command: string;
  process_types: string[];
  memory_mb: number | null;
  /** Who brought it: a person, or the droplet. */
  origin: WithDefault<'user' | 'buildpack'>;
}

/** An LRP that serves until its successor does. */
export interface OutgoingLrpTable {
  id: Generated<number>;
  lrp_guid: string;
  app_guid: string;
  /** The process whose current version replaces it. */
  process_guid: string;
  instances: number;
  since: Generated<Date>;
  /** Null: until it is replaced. */
  until: Date | null;
}

export interface TaskTable extends Row {
  app_guid: string;
  sequence_id: number;
  name: string;
  /** Sealed under the task's guid: commands carry secrets. */
  command_key_label: string;
  command_data: Buffer;
  state: 'PENDING' | 'RUNNING' | 'SUCCEEDED' | 'FAILED' | 'CANCELING';
  memory_mb: number;
  disk_mb: number;
  log_rate_limit: number;
  failure_reason: WithDefault<string | null>;
  droplet_guid: string;
  desired_at: WithDefault<Date | null>;
}

/** The tables of apps and of what belongs to them. */
export interface AppTables {
  apps: AppTable;
  processes: ProcessTable;
  packages: PackageTable;
  builds: BuildTable;
  droplets: DropletTable;
  buildpacks: BuildpackTable;
  system_buildpacks: SystemBuildpackTable;
  stacks: StackTable;
  deployments: DeploymentTable;
  revisions: RevisionTable;
  outgoing_lrps: OutgoingLrpTable;
  sidecars: SidecarTable;
  tasks: TaskTable;
}
