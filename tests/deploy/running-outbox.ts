import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import pg from 'pg';
import { expect } from 'vitest';
import { type AuditedItem, auditLog } from '#tests/support/log-auditor.ts';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';
import { type RunningPostgres, startPostgres } from '#tests/support/postgres-server.ts';
import { type ServiceProcess, natsEnvironment, startService } from '#tests/support/service-process.ts';

const folder = 'deploy/examples/outbox';

export interface Order {
  readonly customer: string;
  readonly quantity: number;
}

/** The example as docs/outbox.md sets it up: PostgreSQL, Trivet, and the example's own programs as processes. */
export interface RunningOutbox {
  readonly postgres: RunningPostgres;
  readonly server: RunningNatsServer;
  startBroker(): Promise<ServiceProcess>;
  startRelay(env?: Readonly<Record<string, string>>): Relay;
  /** Has the example place these orders; resolves with its answers, one an order. */
  place(orders: readonly Order[]): Promise<readonly string[]>;
  /** A query over a connection of its own. */
  query<Row extends pg.QueryResultRow>(text: string, values?: readonly unknown[]): Promise<readonly Row[]>;
  /** Resolves when no row waits to be relayed. */
  drained(): Promise<void>;
  /** Every item of the queue, by the log. */
  items(queue: string): Promise<readonly AuditedItem[]>;
  stop(): Promise<void>;
}

export interface Relay {
  kill(): Promise<void>;
  /** SIGTERM, then its exit code. */
  stop(): Promise<number | null>;
}

export async function startOutbox(): Promise<RunningOutbox> {
  const server = await startNatsServer();
  const postgres = await startPostgres();
  const env = { ...process.env, NATS_URL: server.url, DATABASE_URL: postgres.url };
  const children: ChildProcess[] = [];
  const brokers: ServiceProcess[] = [];
  const program = (name: string, more: NodeJS.ProcessEnv = {}): ChildProcess => {
    const child = spawn(process.execPath, [`${folder}/${name}`], {
      env: { ...env, ...more },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    children.push(child);
    return child;
  };
  const query: RunningOutbox['query'] = (text, values = []) => queried(postgres.url, text, values);
  for (const file of ['outbox.sql', 'orders.sql']) await query(await readFile(`${folder}/${file}`, 'utf8'));
  return {
    postgres,
    server,
    query,
    startBroker: async () => {
      const broker = await startService('queue-broker', {
        ...natsEnvironment(server),
        TRIVET_NAME: 'queue-broker-1',
        TRIVET_DATA: `${server.dir}/queue-broker-1`,
        TRIVET_PARTITIONS: '4',
      });
      brokers.push(broker);
      return broker;
    },
    startRelay: (more) => relayOf(program('relay.ts', more)),
    place: (orders) => placed(program('place-orders.ts'), orders),
    drained: () =>
      expect
        .poll(() => query('SELECT id FROM outbox WHERE refusal IS NULL LIMIT 1').catch(() => ['away']), {
          timeout: 60_000,
        })
        .toEqual([]),
    items: async (queue) => {
      const { items, faults } = await auditLog(server);
      expect(faults).toEqual([]);
      return [...items.values()].filter((item) => item.queue === queue);
    },
    stop: async () => {
      await Promise.all(children.map((child) => ended(child, 'SIGKILL')));
      await Promise.all(brokers.map((broker) => broker.kill()));
      await postgres.stop();
      await server.stop();
    },
  };
}

async function queried<Row extends pg.QueryResultRow>(
  url: string,
  text: string,
  values: readonly unknown[],
): Promise<readonly Row[]> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return values.length === 0
      ? // Without parameters a text may hold several statements.
        ((await client.query<Row>(text)).rows ?? [])
      : (await client.query<Row>(text, [...values])).rows;
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function placed(child: ChildProcess, orders: readonly Order[]): Promise<readonly string[]> {
  let output = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stdin?.end(orders.map((order) => `${JSON.stringify(order)}\n`).join(''));
  const [exitCode] = (await once(child, 'close')) as [number | null];
  expect(exitCode).toBe(0);
  return output.trim().split('\n');
}

const relayOf = (child: ChildProcess): Relay => ({
  kill: async () => {
    await ended(child, 'SIGKILL');
  },
  stop: async () => {
    await ended(child, 'SIGTERM');
    return child.exitCode;
  },
});

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill(signal);
  await gone;
}
