import { createInterface } from 'node:readline';
import pg from 'pg';

// The application: an order and the mail that it calls for are committed together, or neither is.
// Reads one order a line from its standard input: {"customer":"ada@example.org","quantity":2}

interface Order {
  readonly customer: string;
  readonly quantity: number;
}

const database = new pg.Client({ connectionString: process.env['DATABASE_URL'] });
await database.connect();
for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line) as Order;
  try {
    process.stdout.write(`placed ${await place(order)}\n`);
  } catch (error) {
    // The connection is lost: nobody knows whether the last order was placed, and no further one can be.
    if (!(error instanceof pg.DatabaseError)) throw error;
    process.stdout.write(`refused: ${error.message}\n`);
  }
}
await database.end();

/** Places an order; resolves with its number once both rows are committed. */
async function place({ customer, quantity }: Order): Promise<string> {
  await database.query('BEGIN');
  try {
    const placed = await database.query<{ id: string }>(
      'INSERT INTO orders (customer, quantity) VALUES ($1, $2) RETURNING id',
      [customer, quantity],
    );
    const id = placed.rows[0]?.id ?? '';
    await database.query('INSERT INTO outbox (queue, payload, options) VALUES ($1, $2, $3)', [
      'order-mails',
      JSON.stringify({ order: id, to: customer }),
      JSON.stringify({ priority: 'high' }),
    ]);
    await database.query('COMMIT');
    return id;
  } catch (error) {
    await database.query('ROLLBACK');
    throw error;
  }
}
