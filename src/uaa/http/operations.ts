import { registerClients } from '../clients/operations.ts';
import { registerExternalGroups } from '../groups/external-operations.ts';
import { registerGroups } from '../groups/operations.ts';
import { registerDiscovery } from '../oauth/discovery.ts';
import { registerIntrospection } from '../oauth/introspection.ts';
import { registerRevocation, registerTokenEndpoint } from '../oauth/token-endpoint.ts';
import type { Services } from '../services.ts';
import { registerUsers } from '../users/operations.ts';
import { registerPasswordOperation } from '../users/password-operation.ts';
import { registerStatusOperation } from '../users/status-operation.ts';
import type { UaaApp } from './app.ts';
import type { Callers } from './gate.ts';

/** Everything that UAA can be asked; each has a row in the permission table. */
export function registerOperations(app: UaaApp, services: Services, callers: Callers): void {
  registerDiscovery(app, services);
  registerTokenEndpoint(app, services, callers);
  registerRevocation(app, services, callers);
  registerIntrospection(app, services, callers);
  registerUsers(app, services, callers);
  registerPasswordOperation(app, services, callers);
  registerStatusOperation(app, services, callers);
  registerGroups(app, services, callers);
  registerExternalGroups(app);
  registerClients(app, services, callers);
}
