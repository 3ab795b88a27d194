import { ok, operation } from '../operation.ts';
import { job } from './subject.ts';
import { JobView, jobView } from './view.ts';

export const jobOperations = [
  operation('GET /v3/jobs/:guid', {
    on: job,
    answers: { 200: JobView },
    run: async ({ context, subject }) => ok(jobView(context.links, subject)),
  }),
];
