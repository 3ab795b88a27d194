import { join } from 'node:path';
import { PROJECT } from '../../kit/project.js';
import { type Command, type Listed, UsageError } from '../command.ts';
import { answered, completionScript, SHELLS, suggestions } from '../completion.ts';

/** Behind "--" a shell says the words of the line that it completes, and is answered in its own form. */
export const completion = (commands: Readonly<Record<string, Listed>>): Command => ({
  flags: {},
  about: [
    'At each TAB the shell asks ./cupola, which knows its options and, as root, the cells and logs of the installation.',
    'Where there is no command "cupola" yet, the script defines one, so that a line works in every directory.',
  ],
  examples: [
    '. <(./cupola completion bash)      # or in ~/.bashrc, with its whole path',
    '. <(./cupola completion zsh)       # after compinit; or so in ~/.zshrc',
    './cupola completion fish | source  # or so in ~/.config/fish/config.fish',
  ],
  async run([shell, asks, ...words]) {
    const names = Object.keys(SHELLS).join(', ');
    if (shell === undefined || !Object.hasOwn(SHELLS, shell)) throw new UsageError(`completion takes one of ${names}`);
    if (asks === undefined) process.stdout.write(completionScript(shell, join(PROJECT, 'cupola')));
    else if (asks !== '--') throw new UsageError('completion takes one word');
    else for (const part of answered(shell, await suggestions(commands, words))) process.stdout.write(part);
    return 0;
  },
});
