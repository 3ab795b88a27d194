export { renderCellProxyConfig } from './config.ts';
export {
  type CellProxy,
  type CellProxyOptions,
  createCellProxy,
  type ProxiedInstance,
  prepareCellProxy,
} from './proxy.ts';
export type { CellProxySettings } from './settings.ts';
export type { ProxyTarget } from './store.ts';
