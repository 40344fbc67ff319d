import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { queueRequests } from '#shared/protocol/queue-schemas.ts';
import type { SettingTable } from '#shared/runtime/config.ts';
import { asyncApi } from './asyncapi.ts';
import { services, writtenDefault } from './configuration-reference.ts';
import { generatedDocuments } from './generated-documents.ts';

test('the documents that are made from the code are as the code is (npm run docs)', async () => {
  for (const [path, text] of Object.entries(await generatedDocuments()))
    expect(readFileSync(path, 'utf8'), path).toBe(text);
});

test('every reference in the AsyncAPI document leads somewhere', () => {
  const document = asyncApi() as Record<string, unknown>;
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)].map(
    (match) => match[1] ?? '',
  );
  expect(references.length).toBeGreaterThan(50);
  for (const reference of references) {
    let at: unknown = document;
    for (const step of reference.split('/')) at = (at as Record<string, unknown>)[step];
    expect(at, reference).toBeDefined();
  }
});

test('every queue operation has a channel', () => {
  const { channels } = asyncApi() as { channels: Record<string, unknown> };
  for (const operation of ['enqueue', ...Object.keys(queueRequests)])
    expect(channels).toHaveProperty([`queue.${operation}`]);
});

test('what is asked of the whole cluster has a channel', () => {
  const { channels } = asyncApi() as { channels: Record<string, { address: string }> };
  const addresses = Object.values(channels).map(({ address }) => address);
  for (const address of ['queue.stats', 'queue.list', 'cache.stats', 'cache.map'])
    expect(addresses).toContain(`trivet.${address}`);
});

test.each(['complete', 'fail', 'extend', 'release'])(
  'the batch form of %s is a request, too',
  (operation) => {
    const { channels } = asyncApi() as {
      channels: Record<string, { messages: { request: { payload: object } } }>;
    };
    expect(channels[`queue.${operation}`]?.messages.request.payload).toMatchObject({
      anyOf: [{ required: expect.arrayContaining(['id', 'token']) as string[] }, { required: ['items'] }],
    });
  },
);

test.each(Object.entries(services))('every default of %s is shown as it can be set', (_, table) => {
  for (const { env, parse, default: value } of Object.values<SettingTable[string]>(table)) {
    const written = writtenDefault({ env, parse, default: value, about: '' });
    if (written !== '') expect(parse(written), env).toEqual({ value });
  }
});
