import { readCredentials } from '../../platform/secrets.ts';
import { command, JSON_FLAG } from '../command.ts';
import { installation, say } from '../options.ts';

export const credentials = command({
  flags: JSON_FLAG,
  async run({ values }) {
    const { api, username, password, domain, ca_cert } = await readCredentials(installation(values.data));
    if (values.json) say(JSON.stringify({ api, username, password, domain, ca_cert }));
    else
      say(`API       ${api}\nUser      ${username}\nPassword  ${password}\nDomain    ${domain}\n\n${ca_cert.trim()}`);
    return 0;
  },
});
