import type { Static } from 'typebox';
import { unprocessable } from '../errors.ts';
import type { UpdateProcess } from './schema.ts';
import type { Process } from './store.ts';

type Checks = Pick<Static<typeof UpdateProcess>, 'health_check' | 'readiness_health_check'>;

/** Each kind of check by itself, of a process as it is once `body` is written. Throws UnprocessableEntity where one that is not HTTP is given an endpoint. */
export function checkEndpoints(
  { health_check: health, readiness_health_check: readiness }: Checks,
  after: Pick<Process, 'health_check_type' | 'readiness_type'>,
): void {
  for (const [what, asked, type] of [
    ['Health check', health, after.health_check_type],
    ['Readiness health check', readiness, after.readiness_type],
  ] as const) {
    if (type !== 'http' && asked?.data?.endpoint)
      throw unprocessable(`${what} type must be "http" to set a health check HTTP endpoint.`);
  }
}
