export { renderRouterConfig } from './config.ts';
export { prepareRouter } from './prepare.ts';
export { createRouter, type Router, type RouterOptions, type RouterStatus } from './router.ts';
export {
  DEFAULT_ROUTER_TLS,
  type RouterListener,
  type RouterSettings,
  type RouterTls,
  routerListeners,
} from './settings.ts';
