/** A user as UAA knows them. */
export interface DirectoryUser {
  id: string;
  userName: string;
  origin: string;
}

/** What the Cloud Controller asks of UAA: names of users and users of names. */
export interface UserDirectory {
  /** Missing ids are left out. */
  byIds(ids: readonly string[]): Promise<DirectoryUser[]>;
  /** Case-insensitive; several where the name exists in several origins. */
  byName(userName: string, origin?: string): Promise<DirectoryUser[]>;
  /** Users whose name contains one of the parts. */
  byPartialNames(parts: readonly string[]): Promise<DirectoryUser[]>;
}
