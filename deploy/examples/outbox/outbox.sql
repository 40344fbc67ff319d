-- What is to be enqueued, written in the transaction that makes it necessary. See docs/outbox.md.
CREATE TABLE outbox (
  -- Stands for the message for ever, as its idempotency key. Random and not counted: after a restore from a backup a
  -- sequence would give out numbers again that the queue knows already, and would take new messages for old ones.
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  -- In this order messages are relayed.
  position bigint GENERATED ALWAYS AS IDENTITY,
  queue text NOT NULL,
  payload jsonb NOT NULL,
  -- Options of the item: priority, delay, maxAttempts, group, … as in docs/protocol.md.
  options jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(),
  -- Why the queue will never take it. Such rows wait for a person.
  refusal text
);

CREATE INDEX outbox_waiting ON outbox (position) WHERE refusal IS NULL;
