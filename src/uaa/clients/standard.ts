import type { ClientDefinition } from '../settings.ts';

/** What a token of the command-line tool may carry, for users who are in the groups of these names. */
const CF_SCOPES = [
  'clients.admin',
  'clients.read',
  'clients.write',
  'cloud_controller.admin',
  'cloud_controller.admin_read_only',
  'cloud_controller.global_auditor',
  'cloud_controller.read',
  'cloud_controller.write',
  'doppler.firehose',
  'logs.admin',
  'network.admin',
  'network.write',
  'openid',
  'password.write',
  'routing.router_groups.read',
  'routing.router_groups.write',
  'scim.me',
  'scim.read',
  'scim.userids',
  'scim.write',
  'uaa.admin',
  'uaa.user',
];

/** UAA-08: the client of the command-line tool. It is public: it has no secret to keep. */
export const CF_CLIENT: ClientDefinition = {
  id: 'cf',
  name: 'Cloud Foundry command-line tool',
  grantTypes: ['password', 'refresh_token'],
  scope: CF_SCOPES,
  authorities: ['uaa.none'],
  autoApprove: ['true'],
};

/** The client through which `cf ssh` gets its one-time code. */
export function sshProxyClient(options: { secret: string; redirectUri: string }): ClientDefinition {
  return {
    id: 'ssh-proxy',
    name: 'SSH access to apps',
    secret: options.secret,
    grantTypes: ['authorization_code'],
    scope: [
      'cloud_controller.admin',
      'cloud_controller.admin_read_only',
      'cloud_controller.read',
      'cloud_controller.write',
      'openid',
    ],
    authorities: ['uaa.none'],
    redirectUris: [options.redirectUri],
    autoApprove: ['true'],
  };
}

/** The operator's client: manages clients, users and groups. */
export function adminClient(options: { secret: string }): ClientDefinition {
  return {
    id: 'admin',
    name: 'Administration of UAA',
    secret: options.secret,
    grantTypes: ['client_credentials'],
    authorities: [
      'clients.admin',
      'clients.read',
      'clients.secret',
      'clients.write',
      'password.write',
      'scim.read',
      'scim.write',
      'uaa.admin',
    ],
  };
}

/** What the Cloud Controller does at UAA in its own name. */
export function cloudControllerClient(options: { secret: string }): ClientDefinition {
  return {
    id: 'cloud_controller',
    name: 'Cloud Controller',
    secret: options.secret,
    grantTypes: ['client_credentials'],
    authorities: ['cloud_controller_service_permissions.read', 'scim.read', 'scim.userids', 'uaa.resource'],
  };
}
