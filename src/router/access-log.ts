import type { Owner } from '../contracts/gen/diego_pb.js';

import {
  type EnvelopeInit,
  type LogInstance,
  type LogOrigin,
  logEnvelope,
  originOf,
} from '../contracts/log-envelopes.ts';
import { UNANSWERED } from '../kit/haproxy.ts';
import type { InstanceOwner } from './process-routes.ts';
import { OWN_ANSWER } from './repeats.ts';

/**
 * HAProxy's log line: words separated by blanks. Numbers and names come first; what a client wrote comes last and
 * percent-encoded, so that neither its bytes nor the end of the buffer can disturb the rest.
 */
export const LOG_FORMAT = [
  'v1',
  '%[date(0,us)]', // when it was answered
  '%Ta %TR %Tw %Tc %Tr', // ms
  '%ST %U %B',
  '%[var(txn.client)]',
  '%s %si:%sp',
  '%ID',
  '%[var(txn.routererror),url_enc]',
  '%HM %[var(txn.version)]',
  '%[var(txn.proto)]',
  '%[var(txn.host),url_enc]',
  '%[var(txn.uri),url_enc]',
  '%[var(txn.referer),url_enc]',
  '%[var(txn.ua),url_enc]',
  '%[var(txn.xff),url_enc]',
  '%[var(txn.asked)]',
].join(' ');

export interface AccessLogEntry {
  answeredAtMs: number;
  responseTimeMs: number;
  /** The part of it that the request spent in the router: reading its headers and waiting for a server. */
  routerTimeMs: number;
  status: number;
  bytesReceived: number;
  bytesSent: number;
  remote: string;
  /** The instance's GUID; empty where none was asked. */
  instanceGuid: string;
  backend: string;
  requestId: string;
  routerError: string;
  method: string;
  httpVersion: string;
  forwardedProto: string;
  host: string;
  uri: string;
  referer: string;
  userAgent: string;
  /** As the app sees it: what the client sent and the client's own address. */
  forwardedFor: string;
}

/** Null for a line that is not one of LOG_FORMAT. */
export function parseAccessLog(line: string): AccessLogEntry | null {
  const words = line.split(' ');
  if (words[0] !== 'v1' || words.length < 16) return null;
  const word = (index: number): string => {
    const value = words[index] ?? '-';
    return value === '-' ? '' : value;
  };
  const number = (index: number): number => {
    const value = Number(word(index));
    return Number.isFinite(value) && value > 0 ? value : 0;
  };
  const text = (index: number): string => decodeText(word(index));
  // The router answers in the place of an instance that was asked before.
  const server = word(11).startsWith('<') ? word(23) : word(11);
  const remote = word(10);
  const status = number(7);
  const ownStatus = OWN_ANSWER.exec(text(14));
  // Between the router's halves; the client is told 502.
  const isUnanswered = status === UNANSWERED && text(14) === 'endpoint_failure';
  return {
    answeredAtMs: number(1) / 1000,
    responseTimeMs: number(2),
    routerTimeMs: number(3) + number(4),
    status: ownStatus ? Number(ownStatus[1]) : isUnanswered ? 502 : status,
    bytesReceived: number(8),
    bytesSent: number(9),
    remote,
    instanceGuid: server,
    backend: word(12),
    requestId: word(13),
    routerError: ownStatus ? '' : text(14),
    method: word(15),
    httpVersion: word(16),
    forwardedProto: text(17),
    host: text(18),
    uri: text(19),
    referer: text(20),
    userAgent: text(21),
    forwardedFor: [text(22), remote.replace(/:\d+$/, '')].filter(Boolean).join(', '),
  };
}

/** Percent-decoding that never fails: what is not UTF-8 becomes U+FFFD, a broken escape stays. */
function decodeText(value: string): string {
  if (!value.includes('%')) return value;
  const bytes = Buffer.from(
    value.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  );
  return bytes.toString('utf8');
}

/** The line a developer reads, in the form of Cloud Foundry's router. */
export function formatAccessLog(entry: AccessLogEntry, instance: InstanceOwner): string {
  const quoted = (value: string) => JSON.stringify(value === '' ? '-' : value);
  const seconds = (ms: number) => (ms / 1000).toFixed(6);
  const time = new Date(entry.answeredAtMs).toISOString().replace('Z', '000000Z');
  return [
    `${escapeControl(entry.host) || '-'} - [${time}]`,
    quoted(`${entry.method} ${entry.uri} ${entry.httpVersion}`),
    `${entry.status} ${entry.bytesReceived} ${entry.bytesSent}`,
    quoted(entry.referer),
    quoted(entry.userAgent),
    quoted(entry.remote),
    quoted(entry.backend),
    `x_forwarded_for:${quoted(entry.forwardedFor)}`,
    `x_forwarded_proto:${quoted(entry.forwardedProto)}`,
    `vcap_request_id:${quoted(entry.requestId)}`,
    `response_time:${seconds(entry.responseTimeMs)}`,
    `gorouter_time:${seconds(entry.routerTimeMs)}`,
    `app_id:${quoted(instance.owner.appGuid)}`,
    `app_index:${quoted(String(instance.index))}`,
    `instance_id:${quoted(entry.instanceGuid)}`,
    `x_cf_routererror:${quoted(entry.routerError)}`,
  ].join(' ');
}

function escapeControl(value: string): string {
  return JSON.stringify(value).slice(1, -1);
}

/** The envelope of a request to an app; `routerIndex` is what cf shows as RTR/0. */
export function accessLogEnvelope(entry: AccessLogEntry, instance: InstanceOwner, routerIndex: string): EnvelopeInit {
  const origin = routerOrigin(instance.owner, { index: instance.index, guid: entry.instanceGuid }, routerIndex);
  const timestampNs = BigInt(Math.round(entry.answeredAtMs * 1000)) * 1000n;
  return logEnvelope(origin, timestampNs, Buffer.from(formatAccessLog(entry, instance)));
}

/** Of what a router writes about an app, or about one of its instances. */
export function routerOrigin(owner: Owner, instance: LogInstance | null, routerIndex: string): LogOrigin {
  return originOf(owner, { type: 'RTR', origin: 'gorouter', job: 'router', index: routerIndex }, instance, routerIndex);
}
