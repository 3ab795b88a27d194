import { noticedBy } from './mutation.ts';

const DISK = 'blobstore/disk.ts';
const FILE = 'blobstore/blobstore.ts';
const ROOM = 'blobstore/disk-room.ts';

export const blobstore = [
  ...noticedBy('test/unit/blobstore/blobstore.test.ts', [
    [
      'SECURITY 29: ',
      FILE,
      "const verb = request.method === 'HEAD' ? 'GET' : request.method;",
      "const verb = request.method === undefined ? undefined : 'GET';",
    ],
    ['SECURITY 29: ', FILE, ' && expires * 1000 > now.getTime()', ''],
    ['a key is no path', DISK, '      body.destroy();\n', ''],
  ]),
  ...noticedBy('test/unit/blobstore/disk.test.ts', [
    [
      'a put ends as soon as the disk refuses',
      DISK,
      'body.destroy(error instanceof Error',
      'void (error instanceof Error',
    ],
    ['what the system writes in part', DISK, 'if (bytesWritten === whole) return;', 'if (bytesWritten > 0) return;'],
  ]),
  ...noticedBy('test/unit/blobstore/disk-room.test.ts', [
    ['SECURITY 30: what one owner asks', ROOM, 'OWNER_SHARE = 0.25', 'OWNER_SHARE = 1'],
    ['SECURITY 30: who asks for much', ROOM, "beside - sum(own, 'left') < bytes", 'beside < bytes'],
    ['what is held for one writer', ROOM, "- sum(this.#promised, 'held') + held", ''],
    ['what is held lies on no disk', ROOM, 'if (this.#free(await this.#sizes()) < 0)', 'if (false)'],
  ]),
];
