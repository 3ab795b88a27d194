import { roleProcesses } from '../roles/cut.ts';
import { SEPARABLE } from '../roles/names.ts';
import { cell } from './cell.ts';
import { cellProxy } from './cell-proxy.ts';
import type { Component } from './component.ts';
import { control } from './control.ts';
import { dns } from './dns.ts';
import { listenerHolder } from './listeners.ts';
import { nats } from './nats.ts';
import type { Parts } from './parts.ts';
import { postgresql } from './postgresql.ts';
import { router } from './router.ts';

/**
 * Every process of the platform, in the order in which they are replaced and renewed. The router leads to a process of control that is
 * there already: where a role of `running` processes comes back to control, that is first.
 */
export function components(parts: Parts, running: Readonly<Record<string, unknown>> = {}): Component[] {
  const { settings } = parts.layout;
  const processes = roleProcesses(settings);
  const comesBack = SEPARABLE.some((role) => role in running && !processes.some(({ name }) => name === role));
  const decides = processes.map((own) => control(parts, own));
  const cells = Array.from({ length: settings.cells }, (_, index) => index);
  return [
    listenerHolder(parts),
    dns(parts, 'machine'),
    dns(parts, 'containers'),
    postgresql(parts),
    nats(parts),
    ...cells.map((index) => cellProxy(parts, index)),
    ...(comesBack ? [...decides, router(parts)] : [router(parts), ...decides]),
    ...cells.map((index) => cell(parts, index)),
  ];
}
