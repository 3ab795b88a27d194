import { examine } from '../../platform/doctor/doctor.ts';
import { renderFindings } from '../../platform/doctor/finding.ts';
import { command, JSON_FLAG } from '../command.ts';
import { dataDirectory, say } from '../options.ts';

export const doctor = command({
  flags: JSON_FLAG,
  async run({ values }) {
    const findings = await examine(dataDirectory(values.data));
    const ok = findings.every(({ state }) => state !== 'fail');
    say(values.json ? JSON.stringify({ ok, findings }) : renderFindings(findings));
    return ok ? 0 : 1;
  },
});
