import { auditEvent } from '../audit-events/event.ts';
import { recordEvent } from '../audit-events/store.ts';
import { notFound } from '../errors.ts';
import { changeMetadata } from '../metadata.ts';
import { ok, operation } from '../operation.ts';
import { lists, shown, shows, UpdateMetadata } from '../standard.ts';
import { stack, stacks } from './subject.ts';
import { StackView } from './view.ts';

export const stackOperations = [
  operation('GET /v3/stacks', lists(stacks)),

  operation('GET /v3/stacks/:guid', shows(stack, stacks)),

  operation('PATCH /v3/stacks/:guid', {
    on: stack,
    body: UpdateMetadata,
    answers: { 200: StackView },
    async run(call) {
      const { actor, body, context, subject } = call;
      const { guid } = subject;
      const changed = await context.db.transaction().execute(async (trx) => {
        await recordEvent(trx, auditEvent('audit.stack.update', actor, subject, { request: body }));
        return changeMetadata(trx, 'stacks', guid, body.metadata, notFound('Stack'));
      });
      return ok(await shown(call, stacks, { ...subject, ...changed }));
    },
  }),
];
