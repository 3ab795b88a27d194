import type { Migration } from '../../kit/database.ts';

const IMAGE = `
  ADD COLUMN docker_image text,
  ADD COLUMN docker_username text,
  ADD COLUMN docker_key_label text,
  ADD COLUMN docker_data bytea`;

/** Apps that run container images. Everything that was there before is of buildpacks. */
export const dockerImages: Migration = {
  name: '130-docker-images',
  sql: `
ALTER TABLE apps ADD COLUMN lifecycle text NOT NULL DEFAULT 'buildpack';
ALTER TABLE builds ADD COLUMN lifecycle text NOT NULL DEFAULT 'buildpack';
ALTER TABLE packages ${IMAGE};
ALTER TABLE droplets ${IMAGE};
`,
};
