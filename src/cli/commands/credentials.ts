import { readCredentials } from '../../platform/secrets.ts';
import { command, JSON_FLAG } from '../command.ts';
import { answer, installation, say } from '../options.ts';

export const credentials = command({
  flags: {
    ca: { type: 'boolean', help: "print the root of the platform's certificates alone, as PEM" },
    ...JSON_FLAG,
  },
  about: ["The password is the administrator's: keep what this prints out of files and scripts that others read."],
  async run({ values }) {
    const { api, username, password, domain, ca_cert } = await readCredentials(installation(values.data));
    if (values.ca && !values.json) say(ca_cert.trim());
    else
      answer(
        values.json,
        values.ca ? { ca_cert } : { api, username, password, domain, ca_cert },
        `API       ${api}\nUser      ${username}\nPassword  ${password}\nDomain    ${domain}`,
      );
    return 0;
  },
});
