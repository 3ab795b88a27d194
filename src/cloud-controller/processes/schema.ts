import { Type } from 'typebox';
import { MetadataInput } from '../metadata.ts';

const LARGEST = 2_147_483_647;
const Seconds = Type.Union([Type.Integer({ minimum: 1, maximum: 86_400 }), Type.Null()]);
const Endpoint = Type.Union([Type.String({ pattern: '^/[^\\s]{0,254}$' }), Type.Null()]);
const Nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) => Type.Union([schema, Type.Null()]);

const CheckData = Type.Object(
  {
    timeout: Type.Optional(Seconds),
    invocation_timeout: Type.Optional(Seconds),
    interval: Type.Optional(Seconds),
    endpoint: Type.Optional(Endpoint),
  },
  { additionalProperties: false },
);
const HealthCheck = Type.Object(
  {
    type: Type.Optional(Type.Union([Type.Literal('port'), Type.Literal('http'), Type.Literal('process')])),
    data: Type.Optional(CheckData),
  },
  { additionalProperties: false },
);

export const UpdateProcess = Type.Object(
  {
    command: Type.Optional(Nullable(Type.String({ minLength: 1, maxLength: 4096 }))),
    user: Type.Optional(Nullable(Type.Literal('vcap'))),
    health_check: Type.Optional(HealthCheck),
    readiness_health_check: Type.Optional(HealthCheck),
    metadata: Type.Optional(MetadataInput),
  },
  { additionalProperties: false },
);

export const ScaleProcess = Type.Object(
  {
    instances: Type.Optional(Type.Integer({ minimum: 0, maximum: 10_000 })),
    memory_in_mb: Type.Optional(Type.Integer({ minimum: 1, maximum: LARGEST })),
    disk_in_mb: Type.Optional(Type.Integer({ minimum: 1, maximum: LARGEST })),
    log_rate_limit_in_bytes_per_second: Type.Optional(Type.Integer({ minimum: -1, maximum: LARGEST })),
  },
  { additionalProperties: false },
);
