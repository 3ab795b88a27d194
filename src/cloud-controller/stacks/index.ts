import { resource } from '../resource.ts';
import { stackOperations } from './operations.ts';

export const stacks = resource({ operations: stackOperations });
