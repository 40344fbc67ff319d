/** Upper bounds of the buckets, in seconds: OpenTelemetry's advice for HTTP durations, and a long poll's minute. */
const bucketSecondsMax = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60] as const;

/** One answered request. `route` is the pattern, never the URL: URLs are endless, series are not. */
export interface AnsweredRequest {
  readonly method: string;
  readonly route: string;
  readonly status: number;
  readonly seconds: number;
}

interface Series {
  readonly labels: string;
  readonly buckets: number[];
  count: number;
  sumSeconds: number;
}

const durationName = 'trivet_gateway_http_request_duration_seconds';
const activeName = 'trivet_gateway_http_active_requests';

/** Counts requests by route, method and status, and how long they took. Bounded by the number of routes. */
export class RequestFigures {
  /** By route, method and status; their labels are written once, and not for each request. */
  readonly #series = new Map<string, Map<string, Map<number, Series>>>();
  #active = 0;

  begin(): void {
    this.#active += 1;
  }

  end(): void {
    this.#active -= 1;
  }

  count({ method, route, status, seconds }: AnsweredRequest): void {
    const series = this.#series.get(route)?.get(method)?.get(status) ?? this.#begin(method, route, status);
    series.count += 1;
    series.sumSeconds += seconds;
    let bucket = 0;
    while (bucket < bucketSecondsMax.length && seconds > (bucketSecondsMax[bucket] ?? 0)) bucket += 1;
    if (bucket < bucketSecondsMax.length) series.buckets[bucket] = (series.buckets[bucket] ?? 0) + 1;
  }

  #begin(method: string, route: string, status: number): Series {
    const series = {
      labels: `method="${method}",route="${route}",status="${status}"`,
      buckets: bucketSecondsMax.map(() => 0),
      count: 0,
      sumSeconds: 0,
    };
    const byMethod = this.#series.get(route) ?? new Map<string, Map<number, Series>>();
    const byStatus = byMethod.get(method) ?? new Map<number, Series>();
    this.#series.set(route, byMethod.set(method, byStatus.set(status, series)));
    return series;
  }

  get #all(): readonly Series[] {
    return [...this.#series.values()].flatMap((byMethod) =>
      [...byMethod.values()].flatMap((byStatus) => [...byStatus.values()]),
    );
  }

  /** In Prometheus's text format, version 0.0.4. */
  prometheusText(): string {
    return [
      `# HELP ${activeName} Requests that are being answered.`,
      `# TYPE ${activeName} gauge`,
      `${activeName} ${this.#active}`,
      `# HELP ${durationName} Time from a request's arrival to its answer.`,
      `# TYPE ${durationName} histogram`,
      ...this.#all.flatMap(seriesLines),
      '',
    ].join('\n');
  }
}

function seriesLines(series: Series): readonly string[] {
  let cumulative = 0;
  const buckets = bucketSecondsMax.map((max, index) => {
    cumulative += series.buckets[index] ?? 0;
    return `${durationName}_bucket{${series.labels},le="${max}"} ${cumulative}`;
  });
  return [
    ...buckets,
    `${durationName}_bucket{${series.labels},le="+Inf"} ${series.count}`,
    `${durationName}_sum{${series.labels}} ${series.sumSeconds}`,
    `${durationName}_count{${series.labels}} ${series.count}`,
  ];
}
