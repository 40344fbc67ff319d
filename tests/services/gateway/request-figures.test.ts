import { expect, test } from 'vitest';
import { RequestFigures } from '#services/gateway/core/request-figures.ts';

const lines = (figures: RequestFigures) => figures.prometheusText().split('\n');
const name = 'trivet_gateway_http_request_duration_seconds';

test('a bucket counts what is at most its bound, and all that is below', () => {
  const figures = new RequestFigures();
  const request = { method: 'GET', route: '/queue/stats', status: 200 };
  for (const seconds of [0.005, 0.006, 120]) figures.count({ ...request, seconds });
  const labels = 'method="GET",route="/queue/stats",status="200"';
  expect(lines(figures)).toEqual(
    expect.arrayContaining([
      `${name}_bucket{${labels},le="0.005"} 1`,
      `${name}_bucket{${labels},le="0.01"} 2`,
      `${name}_bucket{${labels},le="60"} 2`,
      `${name}_bucket{${labels},le="+Inf"} 3`,
      `${name}_count{${labels}} 3`,
    ]),
  );
});

test('routes and statuses are series of their own', () => {
  const figures = new RequestFigures();
  for (const status of [200, 404]) figures.count({ method: 'GET', route: '/metrics', status, seconds: 0 });
  expect(lines(figures).filter((line) => line.startsWith(`${name}_count`))).toHaveLength(2);
});

test('requests that are being answered are counted while they last', () => {
  const figures = new RequestFigures();
  figures.begin();
  figures.begin();
  figures.end();
  expect(lines(figures)).toContain('trivet_gateway_http_active_requests 1');
});

test('the text ends with a line break, as Prometheus asks', () => {
  expect(new RequestFigures().prometheusText()).toMatch(/[^\n]\n$/);
});
