import { DEFAULT_DATA_DIRECTORY } from '../layout.ts';

/** The option by which every command knows its installation. It is none of the settings that one may say: it says where they lie. */
export const DATA_OPTION = {
  flag: 'data',
  takes: 'DIR',
  help: 'directory of the installation; CUPOLA_DATA names it, too',
  setting: 'dataDirectory',
  unlessTold: DEFAULT_DATA_DIRECTORY,
} as const;

/** A command for a person to give, with the option by which it finds that installation: "./cupola up --data /srv/cupola". */
export function commandFor(command: string, { dataDirectory }: { dataDirectory: string }): string {
  const where = dataDirectory === DATA_OPTION.unlessTold ? '' : ` --${DATA_OPTION.flag} ${dataDirectory}`;
  return `./cupola ${command}${where}`;
}
