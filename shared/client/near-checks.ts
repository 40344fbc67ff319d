import { CacheEvent, MissedReply } from '#shared/protocol/cache-schemas.ts';
import { validator } from '#shared/protocol/validation.ts';

// A file of its own: it is loaded with the first near cache.

export const checkEvent = validator(CacheEvent);
export const checkMissed = validator(MissedReply);
