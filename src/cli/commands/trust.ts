import { installSystemTrust, removeSystemTrust } from '../../platform/host/system-trust.ts';
import { readCredentials } from '../../platform/secrets.ts';
import { command, JSON_FLAG } from '../command.ts';
import { answer, installation } from '../options.ts';

export const trust = command({
  flags: { remove: { type: 'boolean', help: 'stop trusting it' }, ...JSON_FLAG },
  about: [
    "The root of the platform's certificates goes into the machine's store (Debian, Ubuntu). The cf CLI, curl and what else reads that store need no option then. Browsers and Node.js may keep a store of their own.",
    'To leave the machine as it is, give a client the root itself: ./cupola credentials --ca prints it (docs/operator.md).',
  ],
  async run({ values }) {
    const settings = installation(values.data);
    if (values.remove) {
      const removed = await removeSystemTrust(settings);
      answer(
        values.json,
        { trusted: false, changed: removed },
        removed ? 'this machine trusts it no more' : 'this machine did not trust it',
      );
      return 0;
    }
    const { api, ca_cert } = await readCredentials(settings);
    await installSystemTrust(settings, ca_cert);
    answer(values.json, { trusted: true, api }, `this machine trusts ${api} and the apps beside it`);
    return 0;
  },
});
