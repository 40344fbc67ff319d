import { Script } from '#shared/runtime/redis-script.ts';

// The keys of a namespace are spread over parts, and each part has one hash tag: a Redis Cluster keeps it together and
// the parts apart. A part has a hash that says who writes it:
//
//   born          when the cluster began whose nodes write here
//   slot:<n>      the token of who writes the keys of this slot
//   since:<n>     a version from when he began to hold it: his successor has a greater one
//   seq:<token>   the number of the last batch that this writer has had carried out
//   floor         rows with a stamp up to this one are void
//   stamp         the greatest that was written
//   tags          how many tags there are (in the part that has them)
//
// A former owner that wakes up, and what it left in the buffer of a frozen Redis, carries another token and does
// nothing; and it cannot make itself the writer again, since it has held the slot since an older version. A batch of
// the same writer that arrives late, after its answer was given up, has a number that is not above the last one and
// does nothing either.
//
// Versions are comparable within one cluster. When NATS lost its data a new one begins, which may count from below: for
// it everything here is void, and a node of the one before is a former owner of all slots.

/** How many parts the keys of a namespace are spread over; never changed, since the parts are in the keys' names. */
export const redisParts = 16;

export interface PartKeys {
  /** The hash above. */
  readonly fence: string;
  /** A hash: tag → the version at which it was invalidated last. In the first part alone. */
  readonly tags: string;
  /** What stands before each entry's key. */
  readonly rows: string;
}

/** @param prefix the cluster's, as on its subjects */
export const partKeys = (prefix: string, namespace: string, part: number): PartKeys => {
  const tag = `{${prefix}:cache:${part}}`;
  return { fence: `${tag}:w:${namespace}`, tags: `${tag}:t:${namespace}`, rows: `${tag}:e:${namespace}:` };
};

/** What SCAN finds all rows of a namespace by, over all parts. Prefix and namespace have no character of patterns. */
export const rowsPattern = (
  prefix: string,
  namespace: string,
  part: number | '*',
  keyPrefix: string,
): string =>
  `{${prefix}:cache:${part}}:e:${namespace}:${keyPrefix.replaceAll(/[\\*?[\]]/g, String.raw`\$&`)}*`;

/**
 * Makes `token` the writer of some slots of a part. KEYS: fence, tags. ARGV: token, since, stamp, when the cluster began
 * (0: not known), (slot, version from when it began to be held) …
 * @returns [made, the last sequence of this token, floor, greatest stamp, tags as counted, tags that are there, slots
 *   that a successor holds, the greatest version since when one does, voided]; `made` is 1 where there was nothing: then
 *   what rows there may be are void; `voided` is 1 where rows became so. Or `former`: a later cluster has all, and
 *   nothing was done
 */
export const claimScript = new Script(`
local token, since, stamp, born = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local made = redis.call('EXISTS', KEYS[1]) == 0
local kept = tonumber(redis.call('HGET', KEYS[1], 'born') or '0')
if tonumber(born) > 0 then
  if tonumber(born) < kept then return 'former' end
  -- A part without a birth is of a cluster that is older than births: such a one never gets one.
  if not made and tonumber(born) > kept then
    for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
      local name = field:match('^%a+:')
      if name == 'slot:' or name == 'since:' then redis.call('HDEL', KEYS[1], field) end
    end
    local newest = redis.call('HGET', KEYS[1], 'stamp') or '0'
    if tonumber(newest) > tonumber(since) then since = newest end
  end
  redis.call('HSET', KEYS[1], 'born', born)
end
local sequence = redis.call('HGET', KEYS[1], 'seq:' .. token)
local floor = redis.call('HGET', KEYS[1], 'floor') or '0'
if tonumber(since) > tonumber(floor) then floor = since end
if made and tonumber(stamp) > tonumber(floor) then floor = stamp end
local voided = tonumber(floor) > tonumber(redis.call('HGET', KEYS[1], 'floor') or '0')
if voided then
  redis.call('UNLINK', KEYS[2])
  redis.call('HSET', KEYS[1], 'tags', '0')
end
redis.call('HSET', KEYS[1], 'floor', floor)
local passed, passed_by = 0, 0
for at = 5, #ARGV, 2 do
  local holder = tonumber(redis.call('HGET', KEYS[1], 'since:' .. ARGV[at]) or '0')
  if tonumber(ARGV[at + 1]) < holder then
    passed = passed + 1
    passed_by = math.max(passed_by, holder)
  else
    redis.call('HSET', KEYS[1], 'slot:' .. ARGV[at], token, 'since:' .. ARGV[at], ARGV[at + 1])
  end
end

local all = redis.call('HGETALL', KEYS[1])
local live = { ['seq:' .. token] = true }
for at = 1, #all, 2 do
  if all[at]:sub(1, 5) == 'slot:' then live['seq:' .. all[at + 1]] = true end
end
for at = 1, #all, 2 do
  if all[at]:sub(1, 4) == 'seq:' and not live[all[at]] then redis.call('HDEL', KEYS[1], all[at]) end
end

local counted, tags = redis.call('HGET', KEYS[1], 'tags') or '0', redis.call('HLEN', KEYS[2])
return {made and 1 or 0, sequence, floor, redis.call('HGET', KEYS[1], 'stamp') or '0', counted, tostring(tags),
  passed, string.format('%.0f', passed_by), voided and 1 or 0}
`);

/**
 * Writes what a batch has for one part. KEYS: fence, tags, a key for each row.
 * ARGV: token, when the cluster began by which the part was claimed (0: not known), sequence, stamp, floor or '', number
 * of tags, (tag, version) …, number of slots, slot …, and for each row its end ('' when it stays, 'x' for no row) and its
 * bytes.
 * @returns `done`; or why nothing was done: `lost` (the part is gone), `taken` (by another writer), `late`
 */
export const applyScript = new Script(`
local token, born, sequence, stamp, floor = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5]
local at = 6
local function next_argument()
  at = at + 1
  return ARGV[at - 1]
end
if redis.call('EXISTS', KEYS[1]) == 0 then return 'lost' end
-- What has no row is in no slot: a clear, or tags alone, of a cluster of before.
if born > 0 and born < tonumber(redis.call('HGET', KEYS[1], 'born') or '0') then return 'taken' end
local tags = {}
for number = 1, tonumber(next_argument()) do tags[number] = { next_argument(), next_argument() } end
for number = 1, tonumber(next_argument()) do
  if redis.call('HGET', KEYS[1], 'slot:' .. next_argument()) ~= token then return 'taken' end
end
if sequence <= tonumber(redis.call('HGET', KEYS[1], 'seq:' .. token) or '0') then return 'late' end

if floor ~= '' and tonumber(floor) > tonumber(redis.call('HGET', KEYS[1], 'floor') or '0') then
  redis.call('HSET', KEYS[1], 'floor', floor)
  if tonumber(redis.call('HGET', KEYS[1], 'stamp') or '0') <= tonumber(floor) then
    redis.call('UNLINK', KEYS[2])
  else
    -- Another node wrote here since this one cleared: tags that are newer go on to hold for rows that are.
    local known = redis.call('HGETALL', KEYS[2])
    for field = 1, #known, 2 do
      if tonumber(known[field + 1]) <= tonumber(floor) then redis.call('HDEL', KEYS[2], known[field]) end
    end
  end
end
for _, tag in ipairs(tags) do
  if tonumber(tag[2]) > tonumber(redis.call('HGET', KEYS[2], tag[1]) or '0') then
    redis.call('HSET', KEYS[2], tag[1], tag[2])
  end
end
-- Read with every batch, so that a Redis that evicts what is used least does not take it.
redis.call('HSET', KEYS[1], 'tags', redis.call('HLEN', KEYS[2]))
for key = 3, #KEYS do
  local ends, row = next_argument(), next_argument()
  if ends == 'x' then
    redis.call('UNLINK', KEYS[key])
  elseif ends == '' then
    redis.call('SET', KEYS[key], row)
  else
    redis.call('SET', KEYS[key], row, 'PXAT', ends)
  end
end
redis.call('HSET', KEYS[1], 'seq:' .. token, ARGV[3])
if tonumber(stamp) > tonumber(redis.call('HGET', KEYS[1], 'stamp') or '0') then
  redis.call('HSET', KEYS[1], 'stamp', stamp)
end
return 'done'
`);

/** Removes rows that are void. KEYS: the rows. ARGV: floor. @returns how many */
export const sweepScript = new Script(`
local removed = 0
for _, key in ipairs(KEYS) do
  local head = redis.call('GETRANGE', key, 0, 7)
  if #head == 8 and struct.unpack('>d', head) <= tonumber(ARGV[1]) then
    removed = removed + redis.call('UNLINK', key)
  end
end
return removed
`);
