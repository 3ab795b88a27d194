import type { Static } from 'typebox';
import type { Context } from '../context.ts';
import { readGroup } from '../environment-variable-groups/store.ts';
import { type Reader, shownObject } from '../fields.ts';
import type { Variables } from './sealed-variables.ts';
import { type App, identityOf, urisOfApp } from './store.ts';
import { FILE_DESCRIPTORS, vcapApplication } from './vcap-application.ts';
import type { EnvironmentView } from './view.ts';

/** All that an app's containers find in their environment, as `cf env` shows it. */
export async function environmentView(
  { db, sealer, settings }: Context,
  app: App,
  variables: Variables,
  reader: Reader,
): Promise<Static<typeof EnvironmentView>> {
  const uris = await urisOfApp(db, app.guid);
  return {
    staging_env_json: { ...(await readGroup(db, sealer, 'staging')).variables },
    running_env_json: { ...(await readGroup(db, sealer, 'running')).variables },
    environment_variables: { ...variables },
    system_env_json: shownObject(reader, 'app.env.system_env_json', { VCAP_SERVICES: {} }),
    application_env_json: {
      VCAP_APPLICATION: vcapApplication({
        app: identityOf(app),
        apiUrl: settings.urls.api,
        uris,
        fileDescriptors: FILE_DESCRIPTORS,
      }),
    },
  };
}
