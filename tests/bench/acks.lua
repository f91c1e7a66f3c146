-- What tests/bench/commit has wrk do: POSTs with a key of their own each.
--
--   wrk ... -s acks.lua URL -- TAG BYTES
--
-- Ends with a line of JSON: how many were met (2xx with Green-Commit state=met or everywhere,
-- or without that field), late (202) and anything else; seconds; milliseconds of all of them.

local threads = {}

function setup(thread)
   table.insert(threads, thread)
end

function init(args)
   tag, count = args[1], 0
   wrk.body = string.rep("x", tonumber(args[2]))
   wrk.method = "POST"
   met, late, other = 0, 0, 0
end

function request()
   count = count + 1
   wrk.headers["Idempotency-Key"] = '"' .. tag .. "-" .. count .. '"'
   return wrk.format()
end

function response(status, headers)
   local says = headers["Green-Commit"]
   if status == 202 then
      late = late + 1
   elseif status >= 200 and status < 300 and
      (not says or says:find("state=met", 1, true) or says:find("state=everywhere", 1, true)) then
      met = met + 1
   else
      other = other + 1
   end
end

function done(summary, latency)
   local sum = {met = 0, late = 0, other = 0}
   for _, thread in ipairs(threads) do
      for name in pairs(sum) do
         sum[name] = sum[name] + thread:get(name)
      end
   end
   io.write(string.format(
      '{"met": %d, "late": %d, "other": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f}\n',
      sum.met, sum.late, sum.other, summary.duration / 1e6,
      latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
