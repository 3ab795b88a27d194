import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Type } from 'typebox';
import { type BodySchema, bodySchema, takesNull } from '../../../src/cloud-controller/body.ts';
import { CfError } from '../../../src/cloud-controller/errors.ts';
import { operations } from '../../../src/cloud-controller/resources.ts';
import { bodyReader } from '../../../src/cloud-controller/validation.ts';

/** A value that a schema takes, without its optional fields but those on the way to `path`. */
function sample(schema: BodySchema & Record<string, unknown>, path: readonly string[], leaf: unknown): unknown {
  if (path.length === 0 && leaf !== undefined) return leaf;
  const choice = schema.anyOf?.find((member) => member.type !== 'null');
  if (choice) return sample(choice as typeof schema, path, leaf);
  if (Array.isArray(schema['enum'])) return schema['enum'][0];
  if (schema['const'] !== undefined) return schema['const'];
  const [step, ...rest] = path;
  if (schema.type === 'array') {
    const item = (inside: readonly string[]) => sample((schema.items ?? {}) as typeof schema, inside, leaf);
    return step === '0'
      ? [item(rest)]
      : Number(schema['minItems'] ?? 0) > 0
        ? [sample((schema.items ?? {}) as typeof schema, [], undefined)]
        : [];
  }
  if (schema.type === 'object') {
    const names = new Set([...(schema.required ?? []), ...(step === undefined ? [] : [step])]);
    const fields = [...names].map((name) => {
      const property = (schema.properties?.[name] ?? {}) as typeof schema;
      return [name, name === step ? sample(property, rest, leaf) : sample(property, [], undefined)];
    });
    return Object.fromEntries(fields);
  }
  if (schema.type === 'integer' || schema.type === 'number') return Number(schema['minimum'] ?? 1);
  if (schema.type === 'boolean') return true;
  return 'a'.repeat(Math.max(4, Number(schema['minLength'] ?? 1)));
}

/** Every optional field of a schema by its path. */
function optionalFields(schema: BodySchema, path: readonly string[] = []): { path: string[]; schema: BodySchema }[] {
  const inUnion = (schema.anyOf ?? []).flatMap((member) => optionalFields(member, path));
  const inItems = schema.items ? optionalFields(schema.items, [...path, '0']) : [];
  const own = Object.entries(schema.properties ?? {}).flatMap(([name, property]) => {
    const place = [...path, name];
    const isOptional = !schema.required?.includes(name);
    return [...(isOptional ? [{ path: place, schema: property }] : []), ...optionalFields(property, place)];
  });
  return [...inUnion, ...inItems, ...own];
}

function refusal(schema: (typeof operations)[number]['body'], body: unknown): string | null {
  try {
    bodyReader(schema)(body);
    return null;
  } catch (error) {
    assert.ok(error instanceof CfError);
    return error.detail;
  }
}

/** Fields the public API refuses as null though they may be left out, by the field's name, and why. */
const REFUSED: Readonly<Record<string, string>> = {
  metadata: 'the metadata itself must be an object; its labels and annotations may be null',
  'POST /v3/apps lifecycle': 'a lifecycle that is named must have data',
  'PATCH /v3/apps/:guid lifecycle': 'a lifecycle that is named must have data',
  'POST /v3/builds lifecycle': 'a lifecycle that is named must have data',
  'lifecycle.data': 'a lifecycle that is named must have data',
  'health_check.type': 'must be one of three words when it is named',
  'readiness_health_check.type': 'must be one of three words when it is named',
  'POST /v3/routes options': 'options that are named must be an object',
  'PATCH /v3/routes/:guid options': 'options that are named must be an object',
  template: 'a template that is named must name a process',
  rules: 'rules must be an array when they are named',
  'globally_enabled.running': 'values must be booleans',
  'globally_enabled.staging': 'values must be booleans',
  'PATCH /v3/feature_flags/:name enabled': 'must be a boolean when it is named',
  'PATCH /v3/buildpacks/:guid position': 'only the create takes null',
  'PATCH /v3/buildpacks/:guid enabled': 'only the create takes null',
  'PATCH /v3/buildpacks/:guid locked': 'only the create takes null',
  'PATCH /v3/sidecars/:guid name': 'must be present when it is named',
  'PATCH /v3/sidecars/:guid command': 'must be present when it is named',
  'PATCH /v3/sidecars/:guid process_types': 'must be an array when it is named',
  'PATCH /v3/security_groups/:guid name': 'must be a string when it is named',
  'PATCH /v3/organization_quotas/:guid name': 'must be a string when it is named',
  'PATCH /v3/space_quotas/:guid name': 'must be a string when it is named',
  apps: 'a group of limits must be an object',
  services: 'a group of limits must be an object',
  routes: 'a group of limits must be an object',
  domains: 'a group of limits must be an object',
  'POST /v3/security_groups relationships': 'relationships must be an object when they are named',
  'POST /v3/organization_quotas relationships': 'relationships must be an object when they are named',
  'POST /v3/domains relationships': 'relationships must be an object when they are named',
};

describe('bodies of all operations', () => {
  it('take null for what may be left out; what refuses it is listed with its reason', () => {
    const used = new Set<string>();
    let fields = 0;
    for (const { id, body } of operations) {
      for (const { path, schema } of optionalFields(bodySchema(body))) {
        fields += 1;
        const name = path.join('.');
        const reason = [`${id} ${name}`, name].find((key) => key in REFUSED);
        const told = refusal(body, sample(bodySchema(body) as never, path, null));
        if (reason) used.add(reason);
        if (reason) assert.ok(told !== null, `${id} takes null for ${name}, which is listed as refused`);
        else
          assert.equal(
            told,
            null,
            `${id} ${name}: ${takesNull(schema) ? 'the rest of the sample is wrong' : 'null is refused'}`,
          );
      }
    }
    assert.ok(fields > 150, `${fields} fields were looked at`);
    assert.deepEqual(
      Object.keys(REFUSED).filter((key) => !used.has(key)),
      [],
    );
  });
});

describe('a body', () => {
  const reader = bodyReader(
    Type.Object(
      {
        name: Type.String({ minLength: 1 }),
        count: Type.Optional(Type.Integer({ minimum: 1 })),
        exactly: Type.Optional(Type.Integer({ exact: true })),
        reset: Type.Optional(Type.Union([Type.String(), Type.Null()])),
        open: Type.Optional(Type.Object({ guid: Type.String() })),
      },
      { additionalProperties: false },
    ),
  );
  const told = (body: unknown): string | null => {
    try {
      reader(body);
      return null;
    } catch (error) {
      assert.ok(error instanceof CfError);
      return error.detail;
    }
  };

  it('loses a null that means nothing and keeps one that resets', () => {
    assert.deepEqual(reader({ name: 'a', count: null, reset: null }), { name: 'a', reset: null });
    assert.equal(told(null), "Name can't be blank");
  });

  it('may write whole numbers as text, where the API does not want them exact', () => {
    assert.deepEqual(reader({ name: 'a', count: '256' }), { name: 'a', count: 256 });
    for (const count of ['2.5', '1e3', '0x10', '', 'many', '99999999999999999999']) {
      assert.equal(told({ name: 'a', count }), 'Count is not a number', count);
    }
    assert.equal(told({ name: 'a', count: 2.5 }), 'Count must be an integer');
    assert.equal(told({ name: 'a', count: '0' }), 'Count must be greater than or equal to 1');
    assert.equal(told({ name: 'a', exactly: '1' }), 'Exactly is not a number');
  });

  it('keeps nothing that an open object does not know', () => {
    assert.deepEqual(reader({ name: 'a', open: { guid: 'g', name: 'x', links: {} } }), {
      name: 'a',
      open: { guid: 'g' },
    });
  });

  it('is told what is unknown, what is missing and what is wrong, all at once', () => {
    assert.equal(
      told({ bogus_field: 1, count: 'x' }),
      "Unknown field(s): 'bogus_field', Name can't be blank, Count is not a number",
    );
  });
});

describe('the sentences of the API', () => {
  const told = (id: string, body: unknown): string | null => {
    const found = operations.find((operation) => operation.id === id);
    assert.ok(found, id);
    return refusal(found.body, body);
  };
  const one = (name: string): string =>
    `Relationships ${name} must be structured like this: "${name}: {"data": {"guid": "valid-guid"}}"`;

  it('name the field and what it must be', () => {
    assert.equal(
      told('POST /v3/apps', { bogus_field: 1 }),
      "Unknown field(s): 'bogus_field', Name must be a string, Relationships 'relationships' is not an object",
    );
    assert.equal(told('POST /v3/apps', { name: 'a', relationships: {} }), one('space'));
    assert.equal(told('POST /v3/apps', { name: 'a', relationships: { space: { data: { guid: 3 } } } }), one('space'));
    assert.equal(
      told('POST /v3/spaces', { name: 'a', relationships: 'x' }),
      "Relationships 'relationships' is not an object",
    );
    assert.equal(told('POST /v3/processes/:guid/actions/scale', { instances: 'x' }), 'Instances is not a number');
    assert.equal(
      told('POST /v3/processes/:guid/actions/scale', { memory_in_mb: 0 }),
      'Memory in mb must be greater than 0',
    );
    assert.equal(
      told('PATCH /v3/processes/:guid', { health_check: { type: 'tcp' } }),
      'Health check type must be "port", "process", or "http"',
    );
    assert.equal(
      told('POST /v3/deployments', { strategy: 'blue-green', relationships: { app: { data: { guid: 'g' } } } }),
      "Strategy 'blue-green' is not a supported deployment strategy",
    );
    assert.equal(told('PATCH /v3/spaces/:guid/features/:name', {}), 'Enabled must be a boolean');
    assert.equal(told('PATCH /v3/apps/:guid', { metadata: null }), 'Metadata must be an object');
  });
});
