import { installSystemTrust, removeSystemTrust } from '../../platform/host/system-trust.ts';
import { readCredentials } from '../../platform/secrets.ts';
import { type Command, DATA_OPTION, installation, parse, say } from '../options.ts';

export const trust: Command = {
  usage: 'trust [--remove]',
  summary: "have this machine trust the router's certificate",
  async run(args) {
    const { values } = parse(args, { ...DATA_OPTION, remove: { type: 'boolean' } });
    const settings = installation(values.data);
    if (values.remove) {
      say((await removeSystemTrust(settings)) ? 'the machine trusts it no more' : 'the machine did not trust it');
      return 0;
    }
    const { api, ca_cert } = await readCredentials(settings);
    await installSystemTrust(settings, ca_cert);
    say(`the machine trusts ${api}; browsers and Node.js may keep a store of their own`);
    return 0;
  },
};
