import { encode, json } from '#shared/protocol/encoding.ts';

/** What the load is made of: the same series for both sides. */
export const seriesCount = 1_000;
export const recordsPerMessage = 100;

export interface Tags {
  readonly [name: string]: string;
}

/** The tags of one series: four of them, so that a record is some 200 bytes of JSON. */
export const tagsOf = (series: number): Tags => ({
  route: `/api/v1/orders/${String(series % 250).padStart(4, '0')}`,
  method: series % 2 === 0 ? 'GET' : 'POST',
  status: series % 4 < 2 ? '200' : '404',
  region: `eu-central-${series % 3}`,
});

/** Which series the record at `index` of message `message` is of: as they come, in no order. */
export const seriesAt = (message: number, index: number): number =>
  (Math.imul(message * recordsPerMessage + index, 0x9e3779b1) >>> 8) % seriesCount;

/** The records of one message: counters, each by one. */
export const metricRecords = (message: number, atMs: number) =>
  Array.from({ length: recordsPerMessage }, (_, index) => ({
    name: 'http.server.requests',
    type: 'counter',
    value: 1,
    tags: tagsOf(seriesAt(message, index)),
    source: `shop-${seriesAt(message, index) >= 500 ? 'b' : 'a'}`,
    timestamp: atMs + message * recordsPerMessage + index,
  }));

export const metricMessage = (message: number, atMs: number): Uint8Array =>
  encode(metricRecords(message, atMs), json);
