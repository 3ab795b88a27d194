import { readCredentials } from '../../platform/secrets.ts';
import { variables } from '../../platform/settings/words.ts';
import { command, JSON_FLAG, UsageError } from '../command.ts';
import { answer, installation, say } from '../options.ts';
import { type Pushed, push as pushApps } from '../push/push.ts';

export const push = command({
  flags: {
    org: { type: 'string', short: 'o', takes: 'ORG', help: 'the organization', unlessTold: 'demo, made where missing' },
    space: {
      type: 'string',
      short: 's',
      takes: 'SPACE',
      help: 'the space',
      unlessTold: 'demo, or the only one of ORG',
    },
    manifest: { type: 'string', short: 'f', takes: 'FILE', help: 'the manifest', unlessTold: 'manifest.yml in DIR' },
    name: {
      type: 'string',
      short: 'n',
      takes: 'NAME',
      help: "the app's name; of a manifest with several apps, which one",
      unlessTold: "the manifest's, else the directory's",
    },
    env: {
      type: 'string',
      multiple: true,
      takes: 'NAME=VALUE',
      help: 'an environment variable of the app, over those of the manifest',
      accepts: 'NAME=VALUE', // never what was said: it may be a secret
      check: (word) => variables([word]) !== undefined,
    },
    ...JSON_FLAG,
  },
  about: [
    'Uploads DIR (default: the current directory), stages it, shows the staging log, and says where the app runs. A manifest is read as cf push reads it; .cfignore names what stays behind. It signs in as the administrator, so it wants root: other users push with the cf CLI.',
  ],
  examples: [
    './cupola push examples/hello-node',
    './cupola push examples/hello-node -o acme -s dev -n shop --env GREETING=hi',
    './cupola push -f manifest.yml',
  ],
  async run({ values, positionals }) {
    const [directory, ...more] = positionals;
    if (more.length > 0) throw new UsageError('push takes one directory');
    const settings = installation(values.data);
    const pushed = await pushApps(settings, await readCredentials(settings), {
      directory,
      manifest: values.manifest,
      name: values.name,
      env: variables(values.env ?? []) ?? {},
      organization: values.org,
      space: values.space,
      // What programs read is the answer alone.
      onProgress: values.json ? (line) => process.stderr.write(`${line}\n`) : say,
    });
    answer(values.json, { apps: pushed }, pushed.map(describe).join('\n'));
    return 0;
  },
});

function describe({ name, addresses }: Pushed): string {
  return addresses.length === 0 ? `${name} runs, without a route` : `${name} runs at ${addresses.join(', ')}`;
}
