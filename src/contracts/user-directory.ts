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
  /** One question, however many names; case-insensitive. Several where a name exists in several origins. */
  byNames(userNames: readonly string[], origin?: string): Promise<DirectoryUser[]>;
  /** Users whose name contains one of the parts. */
  byPartialNames(parts: readonly string[]): Promise<DirectoryUser[]>;
}
