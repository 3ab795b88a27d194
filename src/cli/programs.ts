/** What a platform's own processes run, by the name under which their entries ask for it: the file of each below src. */
export const PROGRAMS = {
  cli: 'cli/run.ts',
  control: 'platform/programs/control.ts',
  cell: 'platform/programs/cell.ts',
  supervisor: 'platform/programs/supervisor.ts',
};
