import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What `GET /` of the app says. */
export interface Answer {
  version: string;
  guid: string;
  index: number;
}

const SERVER = (version: string) => `
const http = require('node:http');
let ready = true;
http.createServer((request, response) => {
  if (request.url === '/ready') return response.writeHead(ready ? 200 : 503).end();
  if (request.url === '/unready') ready = false;
  if (request.url === '/log') for (let i = 0; i < 60; i++) console.log('line ' + i + ' ' + 'x'.repeat(80));
  response.end(JSON.stringify({
    version: '${version}', guid: process.env.CF_INSTANCE_GUID, index: Number(process.env.CF_INSTANCE_INDEX),
  }));
}).listen(process.env.PORT);
process.on('SIGTERM', () => process.exit(0));
${version === 'broken' ? 'process.exit(7);' : ''}
`;

const PROCFILE = `web: node server.js
worker: while true; do echo the worker works; sleep 1; done
batch: echo a batch of $MEMORY_LIMIT
`;

/** A web process with a sidecar and a readiness check, and a worker. */
const MANIFEST = `applications:
  - name: many
    disk_quota: 256M
    processes:
      - type: web
        instances: 1
        memory: 96M
        disk_quota: 256M
        health-check-type: http
        health-check-http-endpoint: /
        readiness-health-check-type: http
        readiness-health-check-http-endpoint: /ready
        readiness-health-check-interval: 1
      - type: worker
        instances: 1
        memory: 32M
        disk_quota: 256M
        health-check-type: process
    sidecars:
      - name: helper
        process_types: [web]
        memory: 16M
        command: 'echo the helper has $MEMORY_LIMIT; until [ -e /tmp/end ]; do sleep 0.2; done'
`;

/** Writes the app into a directory; "broken" ends as soon as it starts. The manifest is left out for a new version. */
export function writeManyApp(directory: string, version: string): string {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'server.js'), SERVER(version));
  writeFileSync(join(directory, 'package.json'), JSON.stringify({ name: 'many', version: '1.0.0' }));
  writeFileSync(join(directory, 'Procfile'), PROCFILE);
  writeFileSync(join(directory, 'manifest.yml'), MANIFEST);
  return directory;
}
