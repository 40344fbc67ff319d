import { serveTasks } from '#tests/bench/task-messages.ts';
import { BentoMemoryCache } from './bento-memory-cache.ts';
import type { CacheSystem } from './cache-system.ts';
import type { Address, Tasks } from './cache-task.ts';
import { fill, getMany, mix } from './mix.ts';
import { NatsEcho } from './nats-echo.ts';
import { NatsKvCache } from './nats-kv-cache.ts';
import { PlainRequests } from './plain-requests.ts';
import { RedisCache } from './redis-cache.ts';
import { TrivetCache } from './trivet-cache.ts';
import { watch, write } from './watch.ts';

// The process of a client in a benchmark of the cache.

const system = await connectTo(JSON.parse(process.argv[2] ?? '') as Address);

serveTasks<Tasks>({
  performers: {
    fill: (input) => fill(system, input),
    mix: (input) => mix(system, input),
    'get-many': (input) => getMany(system, input),
    write: (input) => write(system, input),
    watch: (input) => watch(system, input),
  },
  close: () => system.close(),
});

function connectTo(address: Address): Promise<CacheSystem> | CacheSystem {
  switch (address.system) {
    case 'trivet':
      return TrivetCache.connect(address);
    case 'trivet-plain':
      return PlainRequests.connect(address);
    case 'redis':
      return new RedisCache(address.port);
    case 'nats-kv':
      return NatsKvCache.connect(address);
    case 'nats-echo':
      return NatsEcho.connect(address);
    case 'bentocache-memory':
      return new BentoMemoryCache();
  }
}
