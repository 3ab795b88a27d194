import type { Readable } from 'node:stream';
import * as yauzl from 'yauzl';

/** A file in a zip. */
interface ArchivedFile {
  name: string;
  open: () => Promise<Readable>;
}

/** Each file of a zip, in its order. Names are checked by yauzl: none is absolute or leads out. Throws what yauzl says. */
export async function* filesOf(file: string): AsyncGenerator<ArchivedFile> {
  const zip = await openZip(file);
  try {
    for (let entry = await nextEntry(zip); entry !== null; entry = await nextEntry(zip)) {
      const { fileName } = entry;
      const found = entry;
      if (!fileName.endsWith('/')) yield { name: fileName, open: () => openEntry(zip, found) };
    }
  } finally {
    zip.close();
  }
}

function openZip(file: string): Promise<yauzl.ZipFile> {
  const { promise, resolve, reject } = Promise.withResolvers<yauzl.ZipFile>();
  yauzl.open(file, { lazyEntries: true, autoClose: false, validateEntrySizes: true }, (error, zip) => {
    if (error) reject(error);
    else resolve(zip);
  });
  return promise;
}

function nextEntry(zip: yauzl.ZipFile): Promise<yauzl.Entry | null> {
  const { promise, resolve, reject } = Promise.withResolvers<yauzl.Entry | null>();
  zip.removeAllListeners('entry').removeAllListeners('end').removeAllListeners('error');
  zip.once('entry', resolve);
  zip.once('end', () => resolve(null));
  zip.once('error', reject);
  zip.readEntry();
  return promise;
}

function openEntry(zip: yauzl.ZipFile, entry: yauzl.Entry): Promise<Readable> {
  const { promise, resolve, reject } = Promise.withResolvers<Readable>();
  zip.openReadStream(entry, (error, stream) => {
    if (error) reject(error);
    else resolve(stream);
  });
  return promise;
}
