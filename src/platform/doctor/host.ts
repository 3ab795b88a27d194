import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { osRelease } from '../../kit/debian/os-release.ts';
import { type Finding, findingsOf } from './finding.ts';

const { ok, warn, fail } = findingsOf('system');
/** By ID and VERSION_ID of os-release(5). */
const TRIED = ['debian 12', 'debian 13'];
/** Links into /usr, since the engines' image takes its place. */
const LINKS = ['bin', 'sbin', 'lib'];

/** Whether the distribution is one with which it was tried, and has its programs below /usr. */
export function hostFindings(root = '/'): Finding[] {
  return [distribution(root), ...links(root)];
}

function distribution(root: string): Finding {
  const release = osRelease(root);
  const said = (field: string): string => release.get(field) ?? '';
  const name = said('PRETTY_NAME') || 'unknown';
  if (TRIED.includes(`${said('ID')} ${said('VERSION_ID')}`)) return ok('distribution', name);
  const isRelated = [said('ID'), ...said('ID_LIKE').split(' ')].includes('debian');
  return isRelated
    ? warn('distribution', `${name}, where it was not tried`, 'Debian 12 and 13 are what it was tried on')
    : fail('distribution', `${name}, which has no packages of Debian`, 'take Debian 12 or 13');
}

function links(root: string): Finding[] {
  const wrong = LINKS.filter((name) => !lstatSync(join(root, name), { throwIfNoEntry: false })?.isSymbolicLink());
  if (wrong.length === 0) return [ok('programs', 'below /usr')];
  const advice = 'install the package usrmerge: engines of the image would find the libraries of the machine';
  return [fail('programs', `no links into /usr: ${wrong.map((name) => `/${name}`).join(', ')}`, advice)];
}
