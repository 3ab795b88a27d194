import { readCredentials } from '../../platform/secrets.ts';
import { variables } from '../../platform/settings/words.ts';
import { command, JSON_FLAG, UsageError } from '../command.ts';
import { answer, installation, say } from '../options.ts';
import { type Pushed, push as pushApps } from '../push/push.ts';
import { readVariables, variableOf } from '../push/variables.ts';

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
      help: 'an environment variable of the app, over those of the manifest; others see it in the list of processes',
      accepts: 'NAME=VALUE', // never what was said: it may be a secret
      check: (word) => variables([word]) !== undefined,
    },
    var: {
      type: 'string',
      multiple: true,
      takes: 'NAME=VALUE',
      help: 'what ((NAME)) stands for in the manifest, over --vars-file; others see it in the list of processes',
      accepts: 'NAME=VALUE',
      check: (word) => variableOf(word) !== null,
    },
    'vars-file': {
      type: 'string',
      multiple: true,
      takes: 'FILE',
      help: 'YAML with what variables stand for, a later one over an earlier one',
    },
    'docker-image': { type: 'string', takes: 'IMAGE', help: 'a container image in place of files' },
    'docker-username': {
      type: 'string',
      takes: 'NAME',
      help: 'who asks its registry; CF_DOCKER_PASSWORD has the password',
    },
    strategy: {
      type: 'string',
      takes: 'rolling',
      help: 'replace the instances of an app that runs one after the other, serving meanwhile',
      unlessTold: 'all at once',
      accepts: 'rolling',
      check: (word) => word === 'rolling',
    },
    ...JSON_FLAG,
  },
  about: [
    'Uploads DIR (default: the current directory), stages it, shows the staging log, and says where the app runs. A manifest is read as cf push reads it, but leads to nothing outside of its directory; .cfignore names what stays behind. It signs in as the administrator, so it wants root: other users push with the cf CLI.',
  ],
  examples: [
    './cupola push examples/hello-node',
    './cupola push examples/hello-node -o acme -s dev -n shop --env GREETING=hi',
    './cupola push -f manifest.yml --var name=shop --strategy rolling',
    './cupola push -n web --docker-image registry.example/web:1',
  ],
  async run({ values, positionals }) {
    const [directory, ...more] = positionals;
    if (more.length > 0) throw new UsageError('push takes one directory');
    const { 'docker-image': image, 'docker-username': username } = values;
    const dockerPassword = process.env['CF_DOCKER_PASSWORD'];
    if (image !== undefined && directory !== undefined) throw new UsageError('push takes a directory or an image');
    if (username !== undefined && (image === undefined || !dockerPassword))
      throw new UsageError('--docker-username takes --docker-image, and CF_DOCKER_PASSWORD in the environment');
    const settings = installation(values.data);
    const pushed = await pushApps(settings, await readCredentials(settings), {
      directory,
      manifest: values.manifest,
      name: values.name,
      env: variables(values.env ?? []) ?? {},
      variables: await readVariables(values['vars-file'] ?? [], values.var ?? []),
      docker: image === undefined ? undefined : { image, ...(username === undefined ? {} : { username }) },
      dockerPassword,
      rolling: values.strategy === 'rolling',
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
