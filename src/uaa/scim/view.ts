export const SCIM_SCHEMAS = ['urn:scim:schemas:core:1.0'];

/** A page of SCIM resources. */
export function scimList<Resource>(
  resources: readonly Resource[],
  page: { startIndex: number; limit: number },
  total: number,
) {
  return {
    resources,
    startIndex: page.startIndex,
    itemsPerPage: page.limit,
    totalResults: total,
    schemas: SCIM_SCHEMAS,
  };
}

/** `attributes=id,userName` leaves only these at the top; null leaves all. */
export function onlyAttributes<View extends object>(views: readonly View[], attributes: string | null): object[] {
  const wanted = attributeNames(attributes);
  if (wanted === null) return [...views];
  return views.map((view) =>
    Object.fromEntries(Object.entries(view).filter(([name]) => wanted.has(name.toLowerCase()))),
  );
}

/** The wanted attributes in lower case; null for all. */
export function attributeNames(attributes: string | null): ReadonlySet<string> | null {
  if (attributes === null || attributes === '') return null;
  return new Set(attributes.split(',').map((name) => name.trim().toLowerCase()));
}
