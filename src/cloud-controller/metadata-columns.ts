/** Names with their values. */
export type Texts = Readonly<Record<string, string>>;

/** The two columns every resource with metadata has. */
export interface MetadataColumns {
  labels: Texts;
  annotations: Texts;
}
