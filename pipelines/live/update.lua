-- One update of one scope, all or nothing. The keys share a hash slot.
--   KEYS  now, head, stream, then one key a day
--   ARGV  epoch if the scope is new, ttl of now (s), ttl of a day (s), stream's length, channel, scope as JSON,
--         what the frame ends in where it is published and traced (else empty),
--         then for each point: its key's number in KEYS, field, start_ms, as_of_ms, the point as JSON
-- Points are written as the bytes they come in: Lua's numbers would round them. Returns the offset, or 0 where nothing
-- that is shown has changed.

local function is_newer(held, start_ms, as_of_ms)
  if not held then return true end
  local point = cjson.decode(held)
  if point.start_ms ~= start_ms then return point.start_ms < start_ms end
  return point.as_of_ms <= as_of_ms
end

local changed = {}
for i = 8, #ARGV, 5 do
  local number, field, json = tonumber(ARGV[i]), ARGV[i + 1], ARGV[i + 4]
  local held = redis.call('HGET', KEYS[number], field)
  if held ~= json and is_newer(held, tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])) then
    redis.call('HSET', KEYS[number], field, json)
    if number == 1 then changed[#changed + 1] = json end
  end
end
for number = 4, #KEYS do redis.call('EXPIRE', KEYS[number], ARGV[3]) end
if #changed == 0 then return 0 end

if redis.call('HSETNX', KEYS[2], 'epoch', ARGV[1]) == 1 then redis.call('DEL', KEYS[3]) end
local epoch = redis.call('HGET', KEYS[2], 'epoch')
local offset = string.format('%d', redis.call('HINCRBY', KEYS[2], 'offset', 1))
local frame = '{"type":"update","scope":' .. ARGV[6] .. ',"epoch":"' .. epoch .. '","offset":' .. offset
  .. ',"values":[' .. table.concat(changed, ',') .. '],"skipped":0}'
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[4], offset .. '-0', 'frame', frame)
for number = 1, 3 do redis.call('EXPIRE', KEYS[number], ARGV[2]) end
if ARGV[7] ~= '' then frame = frame:sub(1, -2) .. ARGV[7] end
redis.call('PUBLISH', ARGV[5], frame)
return tonumber(offset)
