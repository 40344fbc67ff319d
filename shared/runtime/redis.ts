import { RESP_TYPES, createClient, createCluster } from 'redis';
import type { Clock } from './clock.ts';
import type { Log } from './log.ts';

// The only door to Redis: how a process connects, and nothing of what it says.

export interface RedisOptions {
  /** `redis://[[user]:password@]host[:port][/database]`, or `rediss://` for TLS; any node of a Redis Cluster. */
  readonly url: string;
  /** How long the first connection may take. */
  readonly connectMsMax: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** A Redis, or a Redis Cluster. Replies hold Buffers where Redis replies with strings of bytes. */
export interface Redis {
  readonly isCluster: boolean;
  /**
   * Sends one command. Rejects at once while there is no connection, and when the connection ends before the reply: then
   * it is not known whether Redis carried it out, and it may still do so after commands that were sent later.
   * @param key what says which node of a cluster is meant; undefined for any
   */
  command(key: string | undefined, args: readonly (string | Buffer)[]): Promise<unknown>;
  /** Ends the connection. Commands without a reply reject. */
  close(): void;
}

/** Redis answered with an error: its text begins with a code, such as `OOM` or `READONLY`. */
export { ErrorReply as RedisErrorReply } from 'redis';

/** Sent when nothing else is, so that a host that vanished without a word is noticed. */
const pingEveryMs = 5_000;
/** A connection on which nothing moves for this long is given up and made anew. */
const silenceMsMax = 15_000;
const reconnectMsMax = 1_000;

/** Connects; keeps connecting afterwards, for ever. Rejects when there is no connection within `connectMsMax`. */
export async function connectRedis(options: RedisOptions): Promise<Redis> {
  const single = await connected(openSingle(options), options);
  const server = String(await single.command(undefined, ['INFO', 'server']));
  if (!/^redis_mode:cluster\r?$/m.test(server)) return single;
  single.close();
  return connected(openCluster(options), options);
}

async function connected(opening: Opening, { clock, connectMsMax }: RedisOptions): Promise<Redis> {
  const { promise: tooLate, reject } = Promise.withResolvers<never>();
  const cancel = clock.after(connectMsMax, () =>
    reject(new Error(`no connection within ${connectMsMax} ms`, { cause: opening.news.lastFault })),
  );
  try {
    await Promise.race([opening.connect(), tooLate]);
    return opening.redis;
  } catch (error) {
    opening.redis.close();
    throw error;
  } finally {
    cancel();
  }
}

/** The address without what is secret in it: for messages. */
export function shownUrl(url: string): string {
  if (!URL.canParse(url)) return 'an address that cannot be read';
  const { protocol, host } = new URL(url);
  return `${protocol}//${host}`;
}

const replies = { RESP: 2, commandOptions: { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } } } as const;

const connection = {
  // Whoever asks knows best whether to ask again.
  disableOfflineQueue: true,
  pingInterval: pingEveryMs,
  disableClientInfo: true,
} as const;

const socket = {
  connectTimeout: 5_000,
  socketTimeout: silenceMsMax,
  reconnectStrategy: (retries: number) => Math.min(50 * 2 ** Math.min(retries, 10), reconnectMsMax),
} as const;

interface Opening {
  readonly redis: Redis;
  readonly news: ConnectionNews;
  /** Tries again and again. */
  readonly connect: () => Promise<unknown>;
}

function openSingle({ url, log }: RedisOptions): Opening {
  const client = createClient({ ...replies, ...connection, url, socket });
  const news = new ConnectionNews(log, shownUrl(url));
  client.on('error', (error: unknown) => news.lost(error));
  client.on('ready', () => news.ready());
  return {
    news,
    connect: () => client.connect(),
    redis: {
      isCluster: false,
      command: (_key, args) => client.sendCommand(args),
      close: () => client.destroy(),
    },
  };
}

function openCluster({ url, log }: RedisOptions): Opening {
  const { protocol, username, password } = new URL(url);
  const credentials = {
    ...(username === '' ? {} : { username: decodeURIComponent(username) }),
    ...(password === '' ? {} : { password: decodeURIComponent(password) }),
  };
  const defaults = {
    ...connection,
    ...credentials,
    socket: protocol === 'rediss:' ? { ...socket, tls: true as const } : socket,
  };
  const cluster = createCluster({
    ...replies,
    rootNodes: [{ url, socket: { connectTimeout: 5_000 } }],
    defaults,
  });
  const news = new ConnectionNews(log, shownUrl(url));
  cluster.on('error', (error: unknown) => news.lost(error));
  cluster.on('node-error', (error: unknown) => news.lost(error));
  cluster.on('node-ready', () => news.ready());
  return {
    news,
    connect: () => cluster.connect(),
    redis: {
      isCluster: true,
      command: (key, args) => cluster.sendCommand(key, false, [...args]),
      close: () => cluster.destroy(),
    },
  };
}

/** Says it once when the connection is lost, and once when it is back: it is tried again every second. */
class ConnectionNews {
  readonly #log: Log;
  readonly #url: string;
  #isLost = false;
  lastFault: unknown;

  constructor(log: Log, url: string) {
    this.#log = log;
    this.#url = url;
  }

  lost(error: unknown): void {
    this.lastFault = error;
    if (!this.#isLost)
      this.#log.warn({ err: error, redis: this.#url }, 'there is no connection to Redis, trying again');
    this.#isLost = true;
  }

  ready(): void {
    if (this.#isLost) this.#log.info({ redis: this.#url }, 'the connection to Redis is back');
    this.#isLost = false;
  }
}
