import { type Static, Type } from 'typebox';
import { IDENTITY, identityView, Link, type Links } from '../view.ts';
import type { JobStatus } from './store.ts';

export const JobView = Type.Object(
  {
    ...IDENTITY,
    operation: Type.String(),
    state: Type.Enum(['PROCESSING', 'COMPLETE', 'FAILED']),
    errors: Type.Array(Type.Object({ code: Type.Integer(), title: Type.String(), detail: Type.String() })),
    warnings: Type.Array(Type.Object({ detail: Type.String() })),
    /** To itself, and to what it works on by the name of its kind. */
    links: Type.Record(Type.String(), Link),
  },
  { title: 'Job' },
);

export function jobView(links: Links, job: JobStatus): Static<typeof JobView> {
  const { resource_type: type, resource_guid: guid } = job;
  return {
    ...identityView(job),
    operation: job.operation,
    state: job.state,
    errors: [...job.errors],
    warnings: job.warnings.map((detail) => ({ detail })),
    links: {
      self: links.to(`/v3/jobs/${job.guid}`),
      // A resource that was deleted has no address any more.
      ...(type && guid && !job.operation.endsWith('.delete') ? { [type]: links.to(`/v3/${type}s/${guid}`) } : {}),
    },
  };
}
