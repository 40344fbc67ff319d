import { Script } from '#shared/runtime/redis-script.ts';

/** The tables of rows in Redis; the scripts know them by their place in this list, from 2 on. */
export const rowTables = ['items', 'payloads', 'keys', 'records'] as const;
export type RowTable = (typeof rowTables)[number];

/** The keys of one partition. They have one hash tag: a Redis Cluster keeps them together. */
export interface PartitionKeys {
  /** A hash: writer, step, log, epoch, sequence, position, rows, unapplied. */
  readonly state: string;
  readonly tables: Readonly<Record<RowTable, string>>;
  /** A list: the parts of a commit that is too large for one script. */
  readonly staged: string;
  /** As the scripts expect them. */
  readonly all: readonly string[];
}

/** @param prefix the cluster's, as on its subjects */
export function partitionKeys(prefix: string, partition: number): PartitionKeys {
  const key = (name: string): string => `{${prefix}:${partition}}:${name}`;
  const tables = {
    items: key('items'),
    payloads: key('payloads'),
    keys: key('keys'),
    records: key('records'),
  };
  const state = key('state');
  const staged = key('staged');
  return { state, tables, staged, all: [state, ...rowTables.map((table) => tables[table]), staged] };
}

// Numbers of rows, kept with the position: what was evicted or deleted by hand is noticed by them.
const countRows = `
local function rows()
  local counts = {}
  for number = 2, 5 do counts[#counts + 1] = redis.call('HLEN', KEYS[number]) end
  counts[#counts + 1] = redis.call('LLEN', KEYS[6])
  return table.concat(counts, ' ')
end
`;

/**
 * Makes a new writer the only one. A commit that a former one has under way is refused from then on.
 * ARGV: writer, former. Without `former` it is taken from whoever has it; with it only from that one, or from nobody.
 * @returns [verdict, position, unapplied]: `taken`; `empty` when rows are missing, or all of them; `refused`
 */
export const takeScript = new Script(`${countRows}
local state = redis.call('HMGET', KEYS[1], 'writer', 'position', 'rows', 'unapplied')
if ARGV[2] and state[1] and state[1] ~= ARGV[2] and state[1] ~= ARGV[1] then return {'refused'} end
-- Said again because its answer was lost: nothing begins anew.
if state[1] ~= ARGV[1] then redis.call('HSET', KEYS[1], 'writer', ARGV[1], 'step', '0') end
local whole = state[2] and state[3] == rows()
return {whole and 'taken' or 'empty', state[2], state[4]}
`);

/**
 * One step of a writer. Each has a number, and is carried out once, in its turn, however often it is sent.
 * ARGV: action, writer, step, log, the sequence that is stored as the writer knows it, epoch, sequence, position, rows.
 * An empty position removes what was known. `rows` is MessagePack: [[command, table, [argument, …]], …].
 * @returns `done`, or `more` when parts are staged; or why it was refused: `lost` (Redis has forgotten something),
 *   `taken` (by another writer), `epoch` (a newer one is stored), `sequence` or `log` (another one is stored than the
 *   writer knows)
 */
export const stepScript = new Script(`${countRows}
local action, writer, step, log, known = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
local epoch, sequence, position, changes = ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local state = redis.call('HMGET', KEYS[1], 'writer', 'step', 'log', 'epoch', 'sequence', 'rows')
if not state[1] then return 'lost' end
if state[1] ~= writer then return 'taken' end
local function answer() return redis.call('LLEN', KEYS[6]) > 0 and 'more' or 'done' end
-- Said again because its answer was lost.
if tonumber(state[2]) == step then return answer() end
if tonumber(state[2]) ~= step - 1 then return 'lost' end
if action ~= 'clear' then
  if tonumber(state[4] or '0') > tonumber(epoch) then return 'epoch' end
  if (state[5] or '') ~= known then return 'sequence' end
  if state[3] and state[3] ~= log then return 'log' end
  if state[6] and state[6] ~= rows() then return 'lost' end
end

local function apply(groups)
  for _, group in ipairs(groups) do redis.call(group[1], KEYS[group[2]], unpack(group[3])) end
end
local function setPosition()
  if position == '' then
    redis.call('HDEL', KEYS[1], 'log', 'epoch', 'sequence', 'position', 'unapplied')
  else
    redis.call('HSET', KEYS[1], 'log', log, 'epoch', epoch, 'sequence', sequence, 'position', position)
  end
end

if action == 'write' then
  apply(cmsgpack.unpack(changes))
  setPosition()
elseif action == 'begin' then
  redis.call('DEL', KEYS[6])
elseif action == 'stage' then
  redis.call('RPUSH', KEYS[6], changes)
elseif action == 'decide' then
  setPosition()
  redis.call('HSET', KEYS[1], 'unapplied', '1')
elseif action == 'apply' then
  local part = redis.call('LPOP', KEYS[6])
  if part then apply(cmsgpack.unpack(part)) end
  if answer() == 'done' then redis.call('HDEL', KEYS[1], 'unapplied') end
elseif action == 'clear' then
  redis.call('UNLINK', KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6])
  redis.call('HDEL', KEYS[1], 'unapplied')
  setPosition()
end
redis.call('HSET', KEYS[1], 'step', step, 'rows', rows())
return answer()
`);
