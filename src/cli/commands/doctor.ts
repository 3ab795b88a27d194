import { examine } from '../../platform/doctor/doctor.ts';
import { renderFindings } from '../../platform/doctor/finding.ts';
import { type Command, DATA_OPTION, dataDirectory, parse, say } from '../options.ts';

export const doctor: Command = {
  usage: 'doctor [--json]',
  summary: 'look at this machine and say what is in the way',
  async run(args) {
    const { values } = parse(args, { ...DATA_OPTION, json: { type: 'boolean' } });
    const findings = await examine(dataDirectory(values.data));
    const ok = findings.every(({ state }) => state !== 'fail');
    say(values.json ? JSON.stringify({ ok, findings }) : renderFindings(findings));
    return ok ? 0 : 1;
  },
};
