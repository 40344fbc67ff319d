import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { jetstreamManager } from '@nats-io/jetstream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startService, natsEnvironment } from '#tests/support/service-process.ts';
import { endOf } from '#shared/runtime/audit-chain.ts';
import { type RunningGateway, startGateway, token } from './running-gateway.ts';

// Tokens, sign-in and the audit at the gateway, from outside: over HTTP, and with the `trivet` command.

const run = promisify(execFile);
let gateway: RunningGateway;
beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(() => gateway.stop());

interface Ran {
  readonly code: number;
  readonly out: Record<string, never>;
  readonly stderr: string;
}

async function trivet(args: readonly string[], as = token): Promise<Ran> {
  const all = ['services/cli/main.ts', '--http', gateway.http, '--token', as, ...args];
  const ended = await run(process.execPath, all).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    (error: unknown) => error as { code: number; stdout: string; stderr: string },
  );
  const out = (ended.stdout === '' ? {} : JSON.parse(ended.stdout)) as Record<string, never>;
  return { code: ended.code, out, stderr: ended.stderr };
}

test('a key is created, listed, rotated and revoked from the command line', async () => {
  const created = await trivet([
    'token',
    'create',
    'mailer',
    '--grant',
    'producer:queues=mails',
    'viewer:own',
    '--expires',
    '90d',
  ]);
  const made = created.out as unknown as { id: string; token: string };
  expect(created.out).toMatchObject({
    name: 'mailer',
    state: 'active',
    grants: [
      { role: 'producer', queues: ['mails'] },
      { role: 'viewer', own: true },
    ],
  });
  expect(
    (await gateway.call('GET', '/v1/session', { headers: { authorization: `Bearer ${made.token}` } })).body,
  ).toMatchObject({
    name: 'mailer',
    id: `k-${made.id}`,
    via: 'bearer',
  });
  const asNatsTakesIt = (id: string) => `nats --token KEY --inbox-prefix _INBOX.k-${id} `;
  expect(created.stderr).toContain(asNatsTakesIt(made.id));
  const refused = await trivet(['token', 'list'], made.token);
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('forbidden') });
  const rotation = await trivet(['token', 'rotate', made.id, '--overlap', '1h']);
  const rotated = rotation.out as unknown as { id: string };
  expect(rotation.stderr).toContain(asNatsTakesIt(rotated.id));
  expect((await trivet(['token', 'revoke', rotated.id])).out).toMatchObject({ state: 'revoked' });
  const listed = await trivet(['token', 'list']);
  expect(listed.out).toMatchObject({
    tokens: expect.arrayContaining([
      expect.objectContaining({
        id: made.id,
        state: 'active',
        replacedBy: rotated.id,
        lastUsedFrom: '127.0.0.1',
      }),
      expect.objectContaining({ id: rotated.id, state: 'revoked' }),
    ]),
  });
  expect(JSON.stringify(listed.out)).not.toContain(made.token.slice(-43));
  expect(await trivet(['token', 'create', 'x', '--grant', 'god'])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('role'),
  });
});

test.each(['revoke', 'rotate'])(
  'an id that is none is refused by %s in the word of its help',
  async (verb) => {
    const { code, stderr } = await trivet(['token', verb, 'nosuch']);
    expect(stderr).toMatch(/^trivet: invalid_request: id must be .*\n$/);
    expect(code).toBe(2);
  },
);

test('what the bucket keeps of a key is its hash, and no secret is in it', async () => {
  const made = (
    await gateway.call('POST', '/v1/tokens', { body: { name: 'kept', grants: [{ role: 'viewer' }] } })
  ).body as {
    id: string;
    token: string;
  };
  const manager = await jetstreamManager(gateway.connection);
  const stored = await manager.streams.getMessage('KV_TRIVET_CREDENTIALS', {
    last_by_subj: `$KV.TRIVET_CREDENTIALS.token.${made.id}`,
  });
  const text = Buffer.from(stored?.data ?? []).toString();
  expect(JSON.parse(text)).toMatchObject({ id: made.id, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) });
  expect(text).not.toContain(made.token.slice(-43));
});

test.each<[string, object, string]>([
  ['no grants', { name: 'x', grants: [] }, 'grants'],
  ['an unknown role', { name: 'x', grants: [{ role: 'root' }] }, 'grants[0].role'],
  [
    'a pattern in the middle',
    { name: 'x', grants: [{ role: 'viewer', queues: ['a*b'] }] },
    'grants[0].queues[0]',
  ],
  ['an unknown field', { name: 'x', grants: [{ role: 'viewer' }], admin: true }, 'admin'],
  ['no time to live', { name: 'x', grants: [{ role: 'viewer' }], expires: 0 }, 'expires'],
  ['the name of the local admin', { name: 'local admin', grants: [{ role: 'viewer' }] }, 'name'],
  ['a name with a line break', { name: 'x\ny', grants: [{ role: 'viewer' }] }, 'name'],
])('a key with %s is refused by the field', async (_, body, field) => {
  const answer = await gateway.call('POST', '/v1/tokens', { body });
  expect(answer.status).toBe(400);
  expect(answer.body).toMatchObject({ code: 'invalid_request', field });
});

test('of rotations at the same moment one wins, and no other leaves a key behind', async () => {
  const body = { name: 'rotated at once', grants: [{ role: 'viewer' }] };
  const made = (await gateway.call('POST', '/v1/tokens', { body })).body as { id: string };
  const answers = await Promise.all(
    Array.from({ length: 4 }, () => gateway.call('POST', `/v1/tokens/${made.id}/rotate`)),
  );
  expect(answers.map(({ status }) => status).toSorted((one, other) => one - other)).toEqual([
    201, 409, 409, 409,
  ]);
  const { tokens } = (await gateway.call('GET', '/v1/tokens')).body as {
    tokens: { id: string; name: string; state: string; replacedBy?: string }[];
  };
  const winner = answers.find(({ status }) => status === 201)?.body['id'];
  const active = tokens.filter(({ name, state }) => name === body.name && state === 'active');
  expect(active.map(({ id }) => id)).toEqual([winner]);
  expect(tokens.find(({ id }) => id === made.id)).toMatchObject({ replacedBy: winner });
});

test('sign-in sets a cookie that a page can use and a stranger’s page cannot', async () => {
  const page = await fetch(`${gateway.http}/sign-in`);
  expect(page.headers.get('content-security-policy')).toContain("default-src 'none'");
  const csrf = /name="_csrf" value="([^"]+)"/.exec(await page.text())?.[1] ?? '';
  const secret = page.headers.getSetCookie()[0] ?? '';
  expect(secret).toMatch(/HttpOnly/i);
  const post = (fields: Record<string, string>, cookie: string) =>
    fetch(`${gateway.http}/sign-in`, {
      method: 'POST',
      redirect: 'manual',
      headers: { cookie, 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams(fields),
    });
  const secretCookie = secret.split(';', 1)[0] ?? '';
  expect((await post({ token }, secretCookie)).status).toBe(403);
  expect((await post({ token, _csrf: csrf }, '')).status).toBe(403);
  const wrong = await post({ token: 'wrong', _csrf: csrf, next: '//evil.example' }, secretCookie);
  expect(wrong.status).toBe(401);
  expect(await wrong.text()).not.toContain('evil.example');
  const signedIn = await post({ token, _csrf: csrf, next: '/v1/session' }, secretCookie);
  expect([signedIn.status, signedIn.headers.get('location')]).toEqual([303, '/v1/session']);
  const session = signedIn.headers.getSetCookie().find((one) => one.startsWith('trivet=')) ?? '';
  expect(session).toMatch(/HttpOnly/i);
  expect(session).toMatch(/SameSite=Strict/i);
  expect(session).not.toContain(token);
  const cookie = `${secretCookie}; ${session.split(';', 1)[0] ?? ''}`;

  const who = await fetch(`${gateway.http}/v1/session`, { headers: { cookie } });
  const described = (await who.json()) as { via: string; csrfToken: string };
  expect(described.via).toBe('cookie');
  const enqueue = (headers: Record<string, string>) =>
    fetch(`${gateway.http}/v1/tokens`, {
      method: 'POST',
      headers: { cookie, 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ name: 'by cookie', grants: [{ role: 'viewer' }] }),
    }).then(({ status }) => status);
  expect(await enqueue({})).toBe(403);
  expect(await enqueue({ 'x-csrf-token': csrf })).toBe(403);
  expect(await enqueue({ 'x-csrf-token': described.csrfToken })).toBe(201);
  // Items are handed out to a bearer alone.
  expect((await fetch(`${gateway.http}/queue/mails/dequeue`, { headers: { cookie } })).status).toBe(403);
  // With the next ones of a batch, too.
  const finish = await fetch(`${gateway.http}/v1/queues/mails/complete`, {
    method: 'POST',
    headers: { cookie, 'content-type': 'application/json', 'x-csrf-token': described.csrfToken },
    body: JSON.stringify({ items: [{ id: '0-1', token: 1 }], fetch: { max: 1, lease: '5s' } }),
  });
  expect([finish.status, await finish.json()]).toMatchObject([403, { code: 'forbidden' }]);
  const forged = `${cookie.slice(0, -4)}AAAA`;
  expect((await fetch(`${gateway.http}/v1/session`, { headers: { cookie: forged } })).status).toBe(401);
});

test('two gateways write one chain at the same time, which the command finds whole', async () => {
  const second = await startService('gateway', {
    ...natsEnvironment(gateway.nats),
    TRIVET_TOKEN: token,
    TRIVET_HTTP_PORT: '0',
    TRIVET_NAME: 'gateway-2',
    TRIVET_DATA: join(gateway.nats.dir, 'gateway-2'),
    TRIVET_AUDIT: 'everything',
  });
  const headers = { authorization: `Bearer ${token}` };
  const ask = (http: string, n: number) => fetch(`${http}/v1/tokens?n=${n}`, { headers });
  const listings = Array.from({ length: 100 }, (_, n) =>
    [gateway.http, second.http ?? ''].map((http) => ask(http, n)),
  );
  await Promise.all(listings.flat());
  await Promise.all(Array.from({ length: 50 }, () => fetch(`${second.http}/v1/tokens`, { headers })));
  expect(await second.stop()).toBe(0);
  const keys = (
    (await gateway.call('GET', '/v1/audit/heads')).body as { heads: { key: string }[] }
  ).heads.map(({ key }) => key);
  const verified = await trivet(['audit', 'verify', '--key', ...new Set(keys)]);
  expect(verified).toMatchObject({ code: 0, out: { whole: true, faults: [] } });
  const listed = (await trivet(['audit', 'list', '--operation', 'token.list', '--limit', '2'])).out;
  expect(listed).toMatchObject({
    entries: [{ who: 'local admin', id: 'a-local', via: 'http', result: 'ok' }, {}],
    cursor: expect.any(String),
  });
});

test('an end that was cut off is found by a head that was kept elsewhere', async () => {
  const manager = await jetstreamManager(gateway.connection);
  await expect(manager.streams.purge('TRIVET_AUDIT')).rejects.toThrow(/not permitted/);
  const { state } = await manager.streams.info('TRIVET_AUDIT');
  await expect(manager.streams.deleteMessage('TRIVET_AUDIT', state.last_seq)).rejects.toThrow(
    /not permitted/,
  );
  // What somebody would do who owns the NATS: the whole stream is made anew without its end, and the heads removed.
  const messages = [];
  for (let seq = 1; seq < state.last_seq; seq += 1)
    messages.push(await manager.streams.getMessage('TRIVET_AUDIT', { seq }));
  const lastEntry = await manager.streams.getMessage('TRIVET_AUDIT', { seq: state.last_seq });
  const last = endOf(lastEntry?.string() ?? '');
  type Kept = { heads: { n: number; key: string }[]; key: string };
  const heads = async () => (await gateway.call('GET', '/v1/audit/heads')).body as Kept;
  // A head is signed a moment after its entry: what no head covers could be cut off unseen.
  const signedUpTo = async () => Math.max(...(await heads()).heads.map(({ n }) => n));
  await expect.poll(signedUpTo, { timeout: 15_000 }).toBeGreaterThanOrEqual(last.n);
  const kept = await heads();
  const file = join(gateway.nats.dir, 'kept-heads.jsonl');
  await writeFile(file, kept.heads.map((head) => JSON.stringify(head)).join('\n'));
  const { config } = await manager.streams.info('TRIVET_AUDIT');
  await manager.streams.delete('TRIVET_AUDIT');
  await manager.streams.add({ name: config.name, subjects: config.subjects ?? [] });
  for (const message of messages) gateway.connection.publish('trivet.audit', message?.data);
  await gateway.connection.flush();
  const keys = new Set(kept.heads.map(({ key }) => key));
  const verified = await trivet(['audit', 'verify', '--key', ...keys, '--head', file]);
  expect(verified.code).toBe(1);
  // The gateway has written on after the cut, with numbers that were signed before.
  expect(JSON.stringify(verified.out)).toMatch(/is cut off|is not the one that was signed/);
  expect(await readFile(file, 'utf8')).toContain('signature');
});
