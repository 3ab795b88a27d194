import { isPrintable } from '../../kit/printable.ts';
import { shownAddress } from '../../kit/secrets.ts';
import { unprocessable } from '../errors.ts';

const MAXIMUM_LENGTH = 2000;

/** Whether an app's buildpack is named by address instead of by the name of one that an operator installed. */
export function isBuildpackAddress(buildpack: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(buildpack) || /^git@/.test(buildpack);
}

/**
 * Checks the address of a zip that the staging container is to fetch. Throws UnprocessableEntity for a git repository, which
 * nothing there could clone, and for an address with a password, which everybody who sees the app would see.
 */
export function checkAddress(buildpack: string): void {
  const shown = shownAddress(buildpack).slice(0, 200);
  const url = URL.parse(buildpack);
  if (url !== null && (url.username !== '' || url.password !== '')) {
    throw unprocessable(`Buildpack "${shown}" must not have a user name or password in its address`);
  }
  // Parsers of addresses drop a line's end, and what configures the download begins another setting there.
  const isPlain = isPrintable(buildpack) && !/[\s"\\]/.test(buildpack);
  const isZip = url !== null && /^https?:$/.test(url.protocol) && /\.zip$/i.test(url.pathname) && url.hash === '';
  if (!isPlain || !isZip || buildpack.length > MAXIMUM_LENGTH) {
    throw unprocessable(
      `Buildpack "${shown}" must be an existing admin buildpack or the http(s) address of a zip file; ` +
        'git repositories are not cloned, but most hosts offer theirs as a zip',
    );
  }
}
