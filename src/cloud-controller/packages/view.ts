import { type Static, Type } from 'typebox';
import {
  ActionLink,
  IDENTITY,
  identityView,
  Link,
  type Links,
  MetadataView,
  metadataView,
  ToOneView,
  toOne,
} from '../view.ts';
import { PACKAGE_STATES } from './state.ts';
import type { Package } from './store.ts';

const OptionalText = Type.Union([Type.String(), Type.Null()]);
const COMMON = {
  ...IDENTITY,
  state: Type.Enum(PACKAGE_STATES),
  relationships: Type.Object({ app: ToOneView }),
  metadata: MetadataView,
};

const BitsView = Type.Object({
  ...COMMON,
  type: Type.Literal('bits'),
  data: Type.Object({
    error: OptionalText,
    checksum: Type.Object({ type: Type.Literal('sha256'), value: OptionalText }),
  }),
  links: Type.Object({ self: Link, upload: ActionLink, download: Link, app: Link }),
});

const ImageView = Type.Object({
  ...COMMON,
  type: Type.Literal('docker'),
  data: Type.Object({ image: Type.String(), username: OptionalText, password: OptionalText }),
  links: Type.Object({ self: Link, app: Link }),
});

export const PackageView = Type.Union([BitsView, ImageView], { title: 'Package' });

/** A registry's password is never shown again. */
const REDACTED_PASSWORD = '***';

export function packageView(links: Links, given: Package): Static<typeof PackageView> {
  const path = `/v3/packages/${given.guid}`;
  const common = {
    ...identityView(given),
    state: given.state,
    relationships: { app: toOne(given.app_guid) },
    metadata: metadataView(given),
  };
  const self = links.to(path);
  const app = links.to(`/v3/apps/${given.app_guid}`);
  if (given.type === 'docker') {
    const { image, username } = given;
    const password = username === null ? null : REDACTED_PASSWORD;
    return { ...common, type: 'docker', data: { image, username, password }, links: { self, app } };
  }
  return {
    ...common,
    type: 'bits',
    data: { error: given.error, checksum: { type: 'sha256', value: given.sha256 } },
    links: {
      self,
      upload: links.action(`${path}/upload`, 'POST'),
      download: links.to(`${path}/download`),
      app,
    },
  };
}
