import type { Context } from '../context.ts';
import type { App } from './store.ts';

/** Adds an API line to the app's log ("Created app with guid …"). A lost line never fails a request. */
export function logLine(context: Pick<Context, 'ingress' | 'log' | 'clock'>, app: App, text: string): void {
  const envelope = {
    timestampNs: BigInt(context.clock().getTime()) * 1_000_000n,
    sourceId: app.guid,
    instanceId: '0',
    tags: {
      source_type: 'API',
      app_id: app.guid,
      app_name: app.name,
      space_id: app.space_guid,
      space_name: app.space_name,
      organization_id: app.organization_guid,
      organization_name: app.organization_name,
    },
    message: { case: 'log' as const, value: { payload: Buffer.from(text), stderr: false } },
  };
  context.ingress.send({ batch: [envelope] }).catch((error: unknown) => {
    context.log.warn('an API line did not reach the log', { app: app.guid, error });
  });
}
