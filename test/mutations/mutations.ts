import { blobstore } from './blobstore.ts';
import { cell } from './cell.ts';
import { cellGarden } from './cell-garden.ts';
import { cellImages } from './cell-images.ts';
import { cellNetwork } from './cell-network.ts';
import { cli } from './cli.ts';
import { cloudController } from './cloud-controller.ts';
import { cloudControllerInput } from './cloud-controller-input.ts';
import { database } from './database.ts';
import { diego } from './diego.ts';
import { engines } from './engines.ts';
import { kit } from './kit.ts';
import { listeners } from './listeners.ts';
import type { Mutation } from './mutation.ts';
import { platform } from './platform.ts';
import { roles } from './roles.ts';
import { rotation } from './rotation.ts';
import { router } from './router.ts';
import { shares } from './shares.ts';
import { sshProxy } from './ssh-proxy.ts';
import { uaa } from './uaa.ts';
import { uaaTokens } from './uaa-tokens.ts';

/** All of them, by room. */
export const MUTATIONS: readonly Mutation[] = [
  ...blobstore,
  ...cell,
  ...cellGarden,
  ...cellImages,
  ...cellNetwork,
  ...cli,
  ...cloudController,
  ...cloudControllerInput,
  ...database,
  ...diego,
  ...engines,
  ...kit,
  ...platform,
  ...listeners,
  ...roles,
  ...rotation,
  ...router,
  ...shares,
  ...sshProxy,
  ...uaa,
  ...uaaTokens,
];
