import { resource } from '../resource.ts';
import { serviceOperations } from './operations.ts';

export const services = resource({
  operations: serviceOperations,
});
