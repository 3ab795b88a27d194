export { renderRouterConfig } from './config.ts';
export { prepareRouter } from './prepare.ts';
export { createRouter, type Router } from './router.ts';
export { healthSocketOf, type RouterSettings, routerListeners } from './settings.ts';
