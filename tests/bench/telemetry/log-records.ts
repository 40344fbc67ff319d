import { bytesOfRequest } from '#services/telemetry-collector/core/otlp-json.ts';

/** Records in a message, as the goal has it. */
export const perMessage = 100;

/** A log record of about 200 bytes of JSON. */
export const logRecord = (id: number) => ({
  message: `GET /api/orders/${id} answered 200 in ${id % 900} ms for a customer of the shop`,
  level: 'info',
  source: 'shop',
  attributes: { id, path: '/api/orders', status: 200, region: 'eu-central-1' },
});

/** Messages of `perMessage` records each, in JSON. */
export const logMessages = (count: number): readonly Buffer[] =>
  Array.from({ length: count / perMessage }, (_, message) =>
    Buffer.from(
      JSON.stringify(
        Array.from({ length: perMessage }, (_, index) => logRecord(message * perMessage + index)),
      ),
    ),
  );

/** The same records as OTLP requests. */
export const otlpMessages = (count: number): readonly Buffer[] =>
  Array.from({ length: count / perMessage }, (_, message) => {
    const logRecords = Array.from({ length: perMessage }, (_, index) => {
      const { message: body, attributes } = logRecord(message * perMessage + index);
      return {
        timeUnixNano: String(1_770_000_000_000_000_000n + BigInt(message)),
        severityNumber: 9,
        severityText: 'info',
        body: { stringValue: body },
        attributes: [
          { key: 'id', value: { intValue: String(attributes.id) } },
          { key: 'path', value: { stringValue: attributes.path } },
          { key: 'status', value: { intValue: '200' } },
          { key: 'region', value: { stringValue: attributes.region } },
        ],
      };
    });
    const resource = { attributes: [{ key: 'service.name', value: { stringValue: 'shop' } }] };
    return Buffer.from(bytesOfRequest('logs', { resourceLogs: [{ resource, scopeLogs: [{ logRecords }] }] }));
  });
