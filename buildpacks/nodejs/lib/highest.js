// Prints the highest of the versions on standard input (JSON: one string or a list) that satisfies the range given.

const { readFileSync } = require('node:fs');
const { dirname, join } = require('node:path');
const semver = require(join(dirname(process.execPath), '../lib/node_modules/npm/node_modules/semver'));

const highest = semver.maxSatisfying([].concat(JSON.parse(readFileSync(0, 'utf8'))), process.argv[2]);
if (highest === null) process.exit(1);
process.stdout.write(`${highest}\n`);
