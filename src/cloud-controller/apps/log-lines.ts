import { type LogOwner, type LogSource, logEnvelope, nanosecondsOf, originOf } from '../../contracts/log-envelopes.ts';
import type { Context } from '../context.ts';
import type { App } from './store.ts';

const API: LogSource = { type: 'API', origin: 'cloud_controller', job: 'api', index: '0' };

/** Adds an API line to the app's log ("Created app with guid …"). No request waits for it, or fails with it. */
export function logLine(context: Pick<Context, 'envelopes' | 'clock'>, app: App, text: string): void {
  const timestampNs = nanosecondsOf(context.clock().getTime());
  context.envelopes.offer(logEnvelope(originOf(ownerOf(app), API, null), timestampNs, Buffer.from(text)));
}

/** Whose a line is. */
export function ownerOf(app: App): LogOwner {
  return {
    appGuid: app.guid,
    appName: app.name,
    spaceGuid: app.space_guid,
    spaceName: app.space_name,
    organizationGuid: app.organization_guid,
    organizationName: app.organization_name,
  };
}
