/** What stands under names in a manifest. */
export type Fields = Record<string, unknown>;

/** "health-check-type" and "health_check_type" are the same key. */
export function underscored(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).map(([key, value]) => [key.replaceAll('-', '_'), value]));
}
