import { createGarden } from '../../src/cell/garden/create-garden.ts';
import { Logger } from '../../src/kit/log.ts';
import { containerSpec, shell } from './garden.ts';

/* A cell process for tests to kill: `node garden-cell.ts SETTINGS FIRST-HANDLE`. Makes containers until then. */
const [settings = '{}', first = 'first'] = process.argv.slice(2);
const garden = await createGarden({
  ...JSON.parse(settings),
  hasRoom: async () => true,
  log: new Logger('garden', {}, () => {}),
});
console.log('open');
for (let serial = 0; serial < 4; serial++) {
  const handle = serial === 0 ? first : `${first}${serial}`;
  const container = await garden.create(containerSpec(handle, { properties: { app: 'guid' } }));
  await container.run(shell('lasting', 'trap "exit 5" TERM; while :; do sleep 0.05; done'));
  await container.run(shell('ended', 'sleep 0.3; echo late words; exit 6'));
  console.log(handle);
}
await new Promise((resolve) => setTimeout(resolve, 60_000));
