import { CupolaError } from '../../kit/errors.ts';
import type { ContainerUser } from '../garden/garden.ts';

/** Who an image's processes are, by its own tables. */
export interface ImageUser extends ContainerUser {
  name: string;
  home: string;
}

const MOST_ID = 65_535;

/**
 * Reads an image's USER ("", "name", "uid", "name:group", "uid:gid") with its /etc/passwd and /etc/group. Without any it is
 * root: of the container's own user namespace, and without capabilities. Throws `image_invalid`.
 */
export function resolveUser(user: string, passwd: string | null, group: string | null): ImageUser {
  const [who = '', ofGroup, ...more] = user.split(':');
  if (more.length > 0) throw invalid(`the user "${user}" of the image is not valid`);
  const users = rows(passwd, 7);
  const groups = rows(group, 4);
  const wanted = who === '' ? '0' : who;
  const row = users.find(([name]) => name === wanted) ?? users.find((fields) => fields[2] === wanted);
  const uid = number(row?.[2] ?? wanted);
  if (uid === null) throw invalid(`the user "${who}" of the image is not in its /etc/passwd`);
  const gid = ofGroup === undefined || ofGroup === '' ? number(row?.[3] ?? '0') : groupNumber(ofGroup, groups);
  if (gid === null) throw invalid(`the group "${ofGroup ?? ''}" of the image is not in its /etc/group`);
  const name = row?.[0] ?? String(uid);
  const further = groups.flatMap(([, , id, members = '']) => {
    const known = number(id ?? '');
    return known !== null && known !== gid && members.split(',').includes(name) ? [known] : [];
  });
  const home = row?.[5] ?? '';
  return {
    uid,
    gid,
    // As with other engines: who names a group wants that one alone.
    groups: ofGroup === undefined || ofGroup === '' ? [...new Set(further)].slice(0, 64) : [],
    name: uid === 0 && !row ? 'root' : name,
    home: home.startsWith('/') ? home : uid === 0 ? '/root' : '/',
  };
}

function groupNumber(wanted: string, groups: readonly (readonly string[])[]): number | null {
  const row = groups.find(([name]) => name === wanted);
  return number(row?.[2] ?? wanted);
}

function rows(table: string | null, fields: number): string[][] {
  return (table ?? '')
    .split('\n')
    .map((line) => line.trim().split(':'))
    .filter((row) => row.length >= fields - 1 && row[0] !== '');
}

function number(text: string): number | null {
  if (!/^\d{1,10}$/.test(text)) return null;
  if (Number(text) > MOST_ID) throw invalid(`the image runs as user or group ${text}, above ${MOST_ID}`);
  return Number(text);
}

function invalid(message: string): CupolaError {
  return new CupolaError('image_invalid', message);
}
