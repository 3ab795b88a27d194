import type { Connection, ServerChannel, Session } from 'ssh2';

/** What clients of this protocol take for "the session itself failed". */
const FAILED = 255;
/** A client that opens no session in that time learns no reason. */
const TELL_MS = 10_000;

/** Says why there is nothing more to a session, and ends it. */
export function breakOff(channel: ServerChannel, text: string): void {
  channel.stderr.write(`${text}\r\n`);
  channel.exit(FAILED);
  channel.end();
}

/**
 * Tells each session of a client why there is none, and ends the connection soon. What SSH lets a server say before a login the CLI
 * does not show.
 */
export function refuseConnection(client: Connection, text: string): void {
  client.on('session', (accept) => refuseSession(accept(), text));
  const timer = setTimeout(() => client.end(), TELL_MS);
  client.once('close', () => clearTimeout(timer));
}

/** `ended` is called once, when the session is closed. */
export function refuseSession(session: Session, text: string, ended: () => void = () => {}): void {
  session.on('pty', (accept) => accept?.());
  session.once('close', ended);
  const tell = (accept: () => ServerChannel): void => {
    const channel = accept();
    channel.on('error', () => {});
    breakOff(channel, text);
  };
  session.on('shell', tell);
  session.on('exec', tell);
  session.on('subsystem', tell);
}
