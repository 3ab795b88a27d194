import { UaaError } from '../errors.ts';
import type { Form } from '../http/form.ts';
import { parseScimFilter, type ScimFilter } from './filter.ts';
import type { ScimPage, SortOrder } from './sql.ts';

/** The filter of a query; null where there is none. Throws `invalid_filter`. */
export function filterOf(query: Form): ScimFilter | null {
  const filter = query.get('filter');
  return filter === null || filter.trim() === '' ? null : parseScimFilter(filter);
}

const PAGE = { default: 100, most: 500 };

/** Throws `invalid_request` for what is not a number. */
export function pageOf(startIndex: string | null, count: string | null): ScimPage {
  const first = Math.max(1, wholeNumber(startIndex ?? '1'));
  return { startIndex: first, offset: first - 1, limit: Math.min(PAGE.most, wholeNumber(count ?? `${PAGE.default}`)) };
}

function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new UaaError('invalid_request', 'startIndex and count must be whole numbers.');
  return Number(text);
}

/** By creation unless told; throws `invalid_request` for an attribute that is none. */
export function orderOf(sortBy: string | null, sortOrder: string | null): SortOrder {
  return {
    direction: sortOrder?.toLowerCase() === 'descending' ? 'desc' : 'asc',
    column: (attributes) => {
      const chosen = attributes.get((sortBy ?? 'created').toLowerCase()) ?? attributes.get('id');
      if (!chosen || (sortBy !== null && !attributes.has(sortBy.toLowerCase()))) {
        throw new UaaError('invalid_request', 'The attribute to sort by is not known.');
      }
      return chosen.column;
    },
  };
}
