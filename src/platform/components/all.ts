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

/** Every process of the platform, in the order in which they are replaced and renewed. */
export function components(parts: Parts): Component[] {
  const { settings } = parts.layout;
  const cells = Array.from({ length: settings.cells }, (_, index) => index);
  return [
    listenerHolder(parts),
    dns(parts, 'machine'),
    dns(parts, 'containers'),
    postgresql(parts),
    nats(parts),
    ...cells.map((index) => cellProxy(parts, index)),
    router(parts),
    control(parts),
    ...cells.map((index) => cell(parts, index)),
  ];
}
