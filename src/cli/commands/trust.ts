import { installSystemTrust, removeSystemTrust } from '../../platform/host/system-trust.ts';
import { readCredentials } from '../../platform/secrets.ts';
import { command } from '../command.ts';
import { installation, say } from '../options.ts';

export const trust = command({
  flags: { remove: { type: 'boolean', help: 'have it trust the certificate no more' } },
  async run({ values }) {
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
});
