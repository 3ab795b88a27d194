import { ok, operation } from '../operation.ts';
import {
  CollectionsView,
  collectionsView,
  InfoOfV2View,
  InfoView,
  infoOfV2View,
  infoView,
  RootView,
  rootView,
} from './view.ts';

/** Where clients start: every address they use, and versions. */
export const rootOperations = [
  operation('GET /', {
    answers: { 200: RootView },
    run: async ({ context }) => ok(rootView(context.links, context.settings)),
  }),

  operation('GET /v3', {
    answers: { 200: CollectionsView },
    run: async ({ context }) => ok(collectionsView(context.links)),
  }),

  operation('GET /v3/info', {
    answers: { 200: InfoView },
    run: async ({ context }) => ok(infoView(context.links, context.settings)),
  }),

  // The API as its operations declare it (docs/openapi.json).
  operation('GET /v3/openapi.json', {
    answers: { 200: null },
    run: async ({ context }) => ({
      status: 200 as const,
      text: context.document(),
      headers: { 'content-type': 'application/json; charset=utf-8' },
    }),
  }),

  operation('GET /v2/info', {
    answers: { 200: InfoOfV2View },
    run: async ({ context }) => ok(infoOfV2View(context.settings)),
  }),
];
