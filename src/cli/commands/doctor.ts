import { examine } from '../../platform/doctor/doctor.ts';
import { renderFindings } from '../../platform/doctor/finding.ts';
import { coloured } from '../colour.ts';
import { command, JSON_FLAG } from '../command.ts';
import { dataDirectory, say } from '../options.ts';

const COLOURS = { ok: 'green', warn: 'yellow', fail: 'red' } as const;

export const doctor = command({
  flags: JSON_FLAG,
  about: [
    'It changes nothing, and works before anything is installed. The exit code is 1 where something is in the way.',
  ],
  async run({ values }) {
    const findings = await examine(dataDirectory(values.data));
    const ok = findings.every(({ state }) => state !== 'fail');
    say(
      values.json
        ? JSON.stringify({ ok, findings })
        : renderFindings(findings, (state, text) => coloured(COLOURS[state], text)),
    );
    return ok ? 0 : 1;
  },
});
