/** The limits of the wire, each with its unit and its reason. What bounds one service alone stands in that service. */

/** Longest queue or namespace name, in characters: one NATS subject token that people can still read. */
export const nameLengthMax = 64;

/** Largest payload of an item, unless configured otherwise, and largest cache value, in bytes: fits NATS's `max_payload` of 8 MB with its envelope, eight times over. */
export const payloadBytesMax = 1_048_576;

/**
 * What the largest payload of items may be set to, in bytes: as base64, with the largest result, it still fits a reply.
 */
export const payloadBytesLimit = 4 * 1_048_576;

/** Largest reply, in bytes. Below `max_payload`, so that headers and the envelope still fit. */
export const replyBytesMax = 7 * 1_048_576;

/** Largest request, in bytes: what it becomes in the log must still fit `max_payload`. */
export const requestBytesMax = 7 * 1_048_576;

/** Items in one batch request. A thousand items of a kibibyte make one message of a mebibyte. */
export const batchItemsMax = 1_000;

/** Items that one dequeue may ask for. */
export const dequeueItemsMax = 1_000;

/** Longest wait of one request, in milliseconds. Longer than most proxies allow would be of no use. */
export const waitMsMax = 60_000;

/** Longest lease, in milliseconds (a day). A worker that needs longer extends it. */
export const leaseMsMax = 86_400_000;

/** Shortest lease, in milliseconds. Below this the network's own delay would expire leases. */
export const leaseMsMin = 100;

/** Longest delay, time-out or expiry, in milliseconds (ten years): keeps sums of times exact integers. */
export const delayMsMax = 315_360_000_000;

/** Most attempts of one item. */
export const attemptsMax = 1_000;

/** Items on one page of a list. */
export const pageItemsMax = 500;

/** Queues on one page of all queues' names or figures: the broker decides nothing else while it puts them together. */
export const queuesPageMax = 10_000;

/** Longest subject, in characters: `max_control_line` of nats-server. */
export const subjectLengthMax = 4_096;

/** Longest idempotency key or group key, in characters. */
export const keyLengthMax = 256;

/** Longest cache key, in bytes of UTF-8. */
export const cacheKeyBytesMax = 1_024;

/** Longest error message that is kept, in characters; a longer one is refused, not cut. */
export const errorMessageLengthMax = 8_192;

/** Longest stack that is kept, in characters. */
export const stackLengthMax = 32_768;

/** Largest result of one item, in bytes of its encoding. */
export const resultBytesMax = 262_144;

/** Largest progress note, in bytes of its encoding: it is written again with every change of the item. */
export const progressBytesMax = 8_192;

/** Levels of arrays and objects in one payload, result or progress note: what is read must be writable again. */
export const nestingMax = 1_000;

/** User headers kept with one item: how many, and how long each may be, in characters. */
export const headersMax = 32;
export const headerLengthMax = 1_024;

/** Tags of a cache entry or of a telemetry record. */
export const tagsMax = 64;
export const tagLengthMax = 256;

/** Telemetry records in one message. */
export const telemetryRecordsMax = 10_000;
/** Items, resources and scopes of one OTLP request: those of real senders have dozens of bytes each. */
export const otlpItemsMax = 100_000;

/** Longest name of a metric, event or operation, in characters (OpenTelemetry's own limit for instruments). */
export const instrumentNameLengthMax = 255;

/** Errors of attempts that one item remembers; older ones are dropped, the count stays. */
export const attemptsKeptMax = 20;

/** Transitions that one item remembers; the first one and the newest ones stay. */
export const transitionsKeptMax = 100;

/** Entries of one cache namespace until it is configured. */
export const cacheEntriesMaxDefault = 1_000_000;

/** Bytes of one cache namespace until it is configured: keys, values and the overhead below. */
export const cacheBytesMaxDefault = 256 * 1_048_576;

/** What an entry costs beyond its key and value, in bytes, as quotas count it: small values are mostly this. */
export const cacheEntryOverheadBytes = 100;

/** Namespaces of one cache node. A name made from user input is noticed before it has used up the memory. */
export const cacheNamespacesMax = 1_000;

/** Keys on one page of `keys`, unless the request says otherwise, and at most. */
export const cacheKeysPageDefault = 1_000;
export const cacheKeysPageMax = 10_000;

/** Bytes of keys on one page: JSON may write a byte as six, and a reply stays below `replyBytesMax`. */
export const cacheKeysPageBytesMax = 1_048_576;

/** Entries that one page of `keys` looks at, so that a prefix that matches little does not stall the node. */
export const cacheKeysScanMax = 100_000;

/** Expired entries that are removed in one step, so that expiry does not stall the node. */
export const cacheExpiredPerStepMax = 1_000;

/** Levels, words and counts of a namespace's settings: early refresh, shortened ttls, the size to compress from. */
export const cacheEarlyRefreshMax = 10;
export const cacheTtlJitterMax = 0.5;

/** Smallest size that values may be compressed from, in bytes: below it a call of the compressor costs more than it saves. */
export const cacheCompressAboveMin = 1_024;

/** How long the right to fill a key is good unless the request says otherwise, at least and at most, in milliseconds. */
export const cacheLoadLeaseMsDefault = 30_000;
export const cacheLoadLeaseMsMin = 100;
export const cacheLoadLeaseMsMax = 3_600_000;

/** How long a `load` waits for somebody else's fill unless it says otherwise, in milliseconds: what most clients wait. */
export const cacheLoadWaitMsDefault = 5_000;

/** Longest time that a failed fill is remembered, in milliseconds (an hour): a source that is back must be seen. */
export const cacheFailureMsMax = 3_600_000;

/** Keys that are being filled, and callers that wait for them, on one node: each holds some memory. */
export const cacheFillsMax = 100_000;
export const cacheLoadWaitersMax = 100_000;

/** Distinct tags on the entries of one namespace: each is kept once, with its counter. */
export const cacheTagsMax = 1_000_000;

/** Tags that one `invalidate-tags` names. */
export const cacheTagsPerRequestMax = 1_000;

/** Keys in one event of the cache; what is more becomes further events. */
export const cacheEventKeysMax = 1_000;

/** Bytes of keys in one event, so that it stays far below `max_payload`. */
export const cacheEventBytesMax = 1_048_576;

/** Events that `missed` can give again, of one namespace: counted, and by the bytes of their keys. */
export const cacheEventsKeptMax = 4_096;
export const cacheEventsKeptBytesMax = 4_194_304;

/**
 * How often the last sequence is told where the near cache is on, in milliseconds. Of two such notes one may be lost,
 * and a lost invalidation is still noticed within five seconds.
 */
export const cacheHeartbeatMs = 2_000;

/** Leases at once, of a queue or a group: more than any fleet runs. */
export const concurrencyMax = 1_000_000;

/** Claims that a rate limit may allow per window: their times are remembered. */
export const rateCountMax = 100_000;

/** Longest and shortest window of a rate limit, in milliseconds. */
export const ratePerMsMax = 86_400_000;
export const ratePerMsMin = 1;

/** Items that a queue's limits and retention may speak of: keeps sums exact. */
export const queueItemsMax = 1_000_000_000;

/** Declared search fields of one queue, and how much text of each is kept beside an item, in characters. */
export const searchPathsMax = 8;
export const searchTextLengthMax = 256;

/** Longest tag of a queue's settings, in characters. Ours are shorter. */
export const settingsTagLengthMax = 64;

/** Schedules of one queue; longest cron pattern, in characters; most slots that `missed: all` makes up for. */
export const schedulesMax = 100;
export const cronLengthMax = 256;
export const missedSlotsMax = 1_000;

/** Payloads and options of all schedules of one queue, in bytes: `describe` shows them in one reply. */
export const scheduleBytesMax = 1_048_576;

/** A flow: items in its tree, levels, and the largest result of a child that is kept with its parent, in bytes. */
export const flowItemsMax = 1_000;
export const flowLevelsMax = 10;
export const childResultBytesMax = 16_384;

/** Log lines of an item: in one request, kept, on one page; and the longest line, in characters. */
export const logLinesPerRequestMax = 100;
export const logLinesKeptMax = 1_000;
export const logLinesPageMax = 1_000;
export const logLineLengthMax = 1_024;

/** Items that one `purge` removes, and one `cancel` by state cancels: a partition does nothing else meanwhile. */
export const purgedItemsMax = 10_000;
export const cancelledItemsMax = 1_000;

/** Workers of one queue that are remembered, and for how long after their last sign, in milliseconds. */
export const workersMax = 10_000;
export const workerSeenMs = 60_000;

/** Shortest time between two slots and shortest ageing or key window, in milliseconds. */
export const settingMsMin = 1_000;
