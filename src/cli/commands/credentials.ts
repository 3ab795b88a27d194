import { readCredentials } from '../../platform/secrets.ts';
import { type Command, DATA_OPTION, installation, parse, say } from '../options.ts';

export const credentials: Command = {
  usage: 'credentials [--json]',
  summary: 'show how to log in',
  async run(args) {
    const { values } = parse(args, { ...DATA_OPTION, json: { type: 'boolean' } });
    const { api, username, password, domain, ca_cert } = await readCredentials(installation(values.data));
    if (values.json) say(JSON.stringify({ api, username, password, domain, ca_cert }));
    else
      say(`API       ${api}\nUser      ${username}\nPassword  ${password}\nDomain    ${domain}\n\n${ca_cert.trim()}`);
    return 0;
  },
};
