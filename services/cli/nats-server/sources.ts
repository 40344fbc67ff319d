import { goInstall } from './go-install.ts';
import { inCache, onPath } from './local-sources.ts';
import type { NatsServerSource } from './source.ts';

/**
 * Where `npm start` looks for a nats-server, in this order. (`NATS_URL` comes before all of them: with it, none
 * is started.)
 */
export const natsServerSources: readonly NatsServerSource[] = [onPath, inCache, goInstall];
