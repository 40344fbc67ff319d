import type { TSchema } from 'typebox';
import {
  CacheItem,
  CacheOperation,
  CacheRequest,
  CacheResponse,
  CacheStats,
  CacheStrategy,
  CacheType,
} from './cache-schemas.ts';
import { Problem, QueueRequest, QueueResponse, QueueType } from './http-schemas.ts';
import { LeasedItem, QueueItem, QueuePriority, QueueStats, QueueStatus } from './queue-schemas.ts';
import {
  TelemetryEvent,
  TelemetryLevel,
  TelemetryMetric,
  TelemetryRequest,
  TelemetryResponse,
  TelemetryType,
} from './telemetry-records.ts';

/** The models that docs/protocol.md names: in OpenAPI each is a component of this name. */
export const models = {
  CacheType,
  CacheStrategy,
  CacheOperation,
  CacheItem,
  CacheStats,
  CacheRequest,
  CacheResponse,
  QueueType,
  QueuePriority,
  QueueStatus,
  QueueItem,
  QueueStats,
  QueueRequest,
  QueueResponse,
  TelemetryType,
  TelemetryLevel,
  TelemetryMetric,
  TelemetryEvent,
  TelemetryRequest,
  TelemetryResponse,
} as const satisfies Record<string, TSchema>;

/** Components that only the HTTP documents need. */
export const httpModels = { LeasedItem, Problem } as const satisfies Record<string, TSchema>;
