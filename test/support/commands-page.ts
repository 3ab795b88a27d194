import { explained, sentence, spelled, usageOf } from '../../src/cli/help.ts';
import { COMMANDS } from '../../src/cli/run.ts';
import { DATA_OPTION } from '../../src/platform/settings/data-option.ts';
import { code, MADE, table } from './pages.ts';

/** docs/commands.md, of what `./cupola COMMAND --help` says. */
export async function commandsPage(): Promise<string> {
  const parts = Object.entries(COMMANDS).map(async ([name, listed]) => {
    const command = await listed.load();
    const options = Object.entries(command.flags).filter(([flag]) => flag !== DATA_OPTION.flag);
    const rows = options.map(([flag, declared]) => [code(spelled(flag, declared)), explained(declared)]);
    const blocks = [
      `## ${name}`,
      `    ${usageOf(name, listed, command).replace('Usage: ', '')}`,
      sentence(listed.summary),
      ...(command.about ?? []),
      (command.examples ?? []).map((line) => `    ${line}`).join('\n'),
      rows.length > 0 ? table(['Option', 'What it does'], rows).trimEnd() : '',
    ];
    return blocks.filter((block) => block !== '').join('\n\n');
  });
  const { flag, takes, help, unlessTold } = DATA_OPTION;
  return `# Commands

Made of what each command declares of itself in \`src/cli/\`, as \`./cupola COMMAND --help\` prints it; ${MADE}

Every command but \`test\` and \`completion\` takes \`--${flag} ${takes}\`: ${help} (default: ${unlessTold}). All but \`doctor\`, \`test\` and
\`completion\` want root. The exit code is 0 where a command did what it says, 1 where it failed, and 2 where its words are wrong. Colours
and passing lines are for terminals; \`NO_COLOR=1\` turns colours off.

${(await Promise.all(parts)).join('\n\n')}
`;
}
