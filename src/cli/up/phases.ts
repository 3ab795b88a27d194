/** What a stack's build does to one package after the other, by the first word it says of each. */
const PHASES: Readonly<Record<string, string>> = {
  Retrieving: 'Fetching the packages',
  Validating: 'Fetching the packages',
  Extracting: 'Extracting the base system',
  Unpacking: 'Installing the packages',
  Configuring: 'Installing the packages',
};

/** Hears what a stack's build does just now: `tell` has each phase once, as it begins, and `pass` each package. */
export function phases(tell: (phase: string) => void, pass: (text: string) => void = () => {}): (text: string) => void {
  const told = new Set<string>();
  return (text) => {
    const phase = PHASES[text.slice(0, text.indexOf(' '))] ?? text;
    if (!told.has(phase)) tell(phase);
    told.add(phase);
    if (phase !== text) pass(text);
  };
}
