import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CfError } from '../../../src/cloud-controller/errors.ts';
import { checkRules } from '../../../src/cloud-controller/security-groups/rules.ts';

describe('security group rules', () => {
  it('take addresses, networks, ranges and ports as the field writes them', () => {
    assert.doesNotThrow(() =>
      checkRules([
        { protocol: 'tcp', destination: '10.0.0.1,10.1.0.0/16,10.2.0.0-10.2.0.9', ports: '80,443,8000-9000' },
        { protocol: 'icmp', destination: '0.0.0.0/0', type: -1, code: -1 },
        { protocol: 'all', destination: '0.0.0.0-9.255.255.255' },
      ]),
    );
  });

  it('are refused by index', () => {
    const bad = (rule: Parameters<typeof checkRules>[0][number], why: RegExp): void =>
      assert.throws(
        () => checkRules([rule]),
        (error: unknown) => error instanceof CfError && error.title === 'UnprocessableEntity' && why.test(error.detail),
      );
    bad({ protocol: 'tcp', destination: '10.0.0.1' }, /Rules\[0\]: ports are required/);
    bad({ protocol: 'tcp', destination: '10.0.0.1', ports: '0' }, /ports must be a valid/);
    bad({ protocol: 'tcp', destination: '10.0.0.1', ports: '90-80' }, /ports must be a valid/);
    bad({ protocol: 'all', destination: '10.0.0.1', ports: '80' }, /ports are not allowed/);
    bad({ protocol: 'all', destination: '10.0.0.0/33' }, /destination/);
    bad({ protocol: 'all', destination: '10.0.0.9-10.0.0.1' }, /destination/);
    bad({ protocol: 'all', destination: '10.0.0.1; drop' }, /whitespace/);
    bad({ protocol: 'all', destination: 'example.org' }, /destination/);
    bad({ protocol: 'icmp', destination: '10.0.0.1' }, /code is required/);
  });
});
