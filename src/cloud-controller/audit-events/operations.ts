import { operation } from '../operation.ts';
import { lists, shows } from '../standard.ts';
import { auditEvent, auditEvents } from './subject.ts';

export const auditEventOperations = [
  operation('GET /v3/audit_events', lists(auditEvents)),

  operation('GET /v3/audit_events/:guid', shows(auditEvent, auditEvents)),
];
