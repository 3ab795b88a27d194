import { join } from 'node:path';
import { stackRoot } from '../stack/stack.ts';
import type { GardenSettings } from './settings.ts';

/** Where a garden keeps what. */
export class GardenPaths {
  readonly root: string;
  readonly run: string;
  readonly stacks: string;

  constructor(settings: Pick<GardenSettings, 'rootDirectory' | 'runDirectory' | 'stacksDirectory'>) {
    this.root = settings.rootDirectory;
    this.run = settings.runDirectory;
    this.stacks = settings.stacksDirectory;
  }

  get containers(): string {
    return join(this.root, 'containers');
  }
  /** Images kept ready; beside the containers, because they are renamed into them. */
  get spares(): string {
    return join(this.root, 'spares');
  }
  get layers(): string {
    return join(this.root, 'layers');
  }
  /** Mount points that exist for a moment. Short, because the names of all layers of an overlay share one page of memory. */
  get scratch(): string {
    return join(this.run, 's');
  }
  get runcState(): string {
    return join(this.run, 'runc');
  }
  /** Mount points of root file systems; here and not below `root`, so that container roots can walk through. */
  get rootfs(): string {
    return join(this.run, 'rootfs');
  }
  stack(name: string): string {
    return stackRoot(this.stacks, name);
  }
  container(name: string | number): ContainerPaths {
    return new ContainerPaths(join(this.containers, String(name)), join(this.rootfs, String(name)));
  }
}

/** The directory of one container is also runc's bundle. */
export class ContainerPaths {
  readonly directory: string;
  /** Lets only the container's root through. */
  readonly gate: string;

  constructor(directory: string, gate: string) {
    this.directory = directory;
    this.gate = gate;
  }

  get record(): string {
    return join(this.directory, 'record.json');
  }
  get runtimeSpec(): string {
    return join(this.directory, 'config.json');
  }
  get etc(): string {
    return join(this.directory, 'etc');
  }
  get image(): string {
    return join(this.directory, 'volume.img');
  }
  get volume(): string {
    return join(this.directory, 'volume');
  }
  get rootfs(): string {
    return join(this.gate, 'root');
  }
  /** Files of conmon for the first process. */
  get init(): string {
    return join(this.directory, 'init');
  }
  get processes(): string {
    return join(this.directory, 'processes');
  }
  /** For the moment in which one starts. */
  get sessions(): string {
    return join(this.directory, 'sessions');
  }
  process(id: string): string {
    return join(this.processes, id);
  }
}
