/** "<process guid>-<version>": a new version is another LRP, so that nothing of the old one stays (CC-07). */
export function lrpGuid(processGuid: string, version: string): string {
  return `${processGuid}-${version}`;
}

/** The v3 process guid of an LRP's. Both parts are GUIDs of 36 characters. */
export function processGuidOf(lrp: string): string {
  return lrp.slice(0, 36);
}

/** The version of an LRP's. */
export function versionOf(lrp: string): string {
  return lrp.slice(37);
}
