import { notFound } from '../errors.ts';
import { ok, operation } from '../operation.ts';
import { identityView } from '../view.ts';

export const jobOperations = [
  operation({
    id: 'GET /v3/jobs/:guid',
    async run(call) {
      const { db, links } = call.context;
      const job = await db.selectFrom('jobs').selectAll().where('guid', '=', call.params.guid).executeTakeFirst();
      if (!job) throw notFound('Job');
      const { resource_type: type, resource_guid: guid } = job;
      return ok({
        ...identityView(job),
        operation: job.operation,
        state: job.state,
        errors: job.errors,
        warnings: job.warnings.map((detail) => ({ detail })),
        links: {
          self: links.to(`/v3/jobs/${job.guid}`),
          // A resource that was deleted has no address any more.
          ...(type && guid && !job.operation.endsWith('.delete') ? { [type]: links.to(`/v3/${type}s/${guid}`) } : {}),
        },
      });
    },
  }),
];
