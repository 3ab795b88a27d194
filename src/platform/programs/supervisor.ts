import { CupolaError } from '../../kit/errors.ts';
import { handleFaults } from '../../kit/faults.ts';
import { Logger } from '../../kit/log.ts';
import { returnMemory } from '../../kit/memory.ts';
import { requireOwnId } from '../host/installations.ts';
import { requireOwnAddresses } from '../host/shared-addresses.ts';
import { requireWhole } from '../removal.ts';
import { loadSettings } from '../settings/store.ts';
import { Supervisor } from '../supervisor/supervisor.ts';

const log = new Logger('supervisor');
handleFaults(log);
const dataDirectory = process.argv[2];
const settings = dataDirectory ? loadSettings(dataDirectory) : null;
if (!settings) throw new CupolaError('not_installed', `nothing is installed in ${dataDirectory}`);
requireOwnId(settings);
requireOwnAddresses(settings);
requireWhole(settings.dataDirectory);
// Signals of the terminal that ran `up` do not end the platform; `cupola down` does.
process.on('SIGHUP', () => {});
const supervisor = await Supervisor.start(settings, log);
returnMemory({ pauses: true });
// systemd stops or restarts the unit: what runs goes on running.
process.on('SIGTERM', () => void supervisor.leave().then(() => process.exit(0)));
