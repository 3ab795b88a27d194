import { Type } from 'typebox';
import { MetadataInput } from '../metadata.ts';
import { ResourceName } from '../names.ts';

const LARGEST = 2_147_483_647;
const Seconds = Type.Union([Type.Integer({ minimum: 1, maximum: 86_400 }), Type.Null()]);
const Endpoint = Type.Union([Type.String({ pattern: '^/[^\\s]{0,254}$' }), Type.Null()], {
  sentence: 'must be a valid URI path',
});
const Nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) => Type.Union([schema, Type.Null()]);

export const HEALTH_CHECK_TYPES = ['port', 'http', 'process'] as const;

export const ProcessType = ResourceName();

const CheckData = Type.Object({
  timeout: Type.Optional(Seconds),
  invocation_timeout: Type.Optional(Seconds),
  interval: Type.Optional(Seconds),
  endpoint: Type.Optional(Endpoint),
});
const HealthCheck = Type.Object({
  type: Type.Optional(
    Type.Enum(HEALTH_CHECK_TYPES, {
      nullRefused: true,
      sentence: 'must be "port", "process", or "http"',
    }),
  ),
  data: Type.Optional(CheckData),
});

export const UpdateProcess = Type.Object(
  {
    command: Type.Optional(Nullable(Type.String({ minLength: 1, maxLength: 4096 }))),
    user: Type.Optional(Type.Union([Type.Literal('vcap'), Type.Null()], { sentence: "must be 'vcap'" })),
    health_check: Type.Optional(HealthCheck),
    readiness_health_check: Type.Optional(HealthCheck),
    metadata: Type.Optional(MetadataInput),
  },
  { additionalProperties: false },
);

export const ScaleProcess = Type.Object(
  {
    instances: Type.Optional(Type.Integer({ minimum: 0, maximum: 10_000 })),
    memory_in_mb: Type.Optional(Type.Integer({ exclusiveMinimum: 0, maximum: LARGEST })),
    disk_in_mb: Type.Optional(Type.Integer({ exclusiveMinimum: 0, maximum: LARGEST })),
    log_rate_limit_in_bytes_per_second: Type.Optional(Type.Integer({ minimum: -1, maximum: LARGEST })),
  },
  { additionalProperties: false },
);
