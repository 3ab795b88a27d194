import { rm } from 'node:fs/promises';
import { routesOf } from './cell-settings.ts';
import type { Layout } from './layout.ts';

/**
 * Of an installation whose containers are gone: what its router and the proxies of its cells knew of them goes, too. They begin before
 * control and the cells are there, with what they knew; addresses that it named are by then nobody's, or another app's.
 */
export async function forgetRoutes(layout: Layout): Promise<void> {
  for (const directory of routesOf(layout)) await rm(directory, { recursive: true, force: true });
}
