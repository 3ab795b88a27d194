export { renderCellProxyConfig } from './config.ts';
export { createCellProxy, prepareCellProxy } from './proxy.ts';
export type { CellProxySettings } from './settings.ts';
