"""The script that gives REST Flowable's manners: aliases of paths, statuses of success, one body for errors, and what
may be kept.

It runs inside Envoy, on requests that arrive as REST only: the routes of gRPC and gRPC-Web switch it off. Since
Envoy's Lua has no JSON, it takes the few texts that it needs from the transcoder's answer as they stand there,
still escaped, and puts them into another frame.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Final

from gateway.app.statuses import PHRASES, REST_ERRORS
from gateway.model.contract import Contract
from gateway.model.credentials import CHALLENGE
from gateway.model.snapshot import Alias

#: Where the filter after the transcoder leaves the path of the RPC for the script.
METADATA_NAMESPACE: Final = "flowloom.edge"
METADATA_RPC: Final = "rpc"

_VARIABLE: Final = re.compile(r"\{[^}]*\}")
_MAGIC: Final = re.compile(r"[^\w/]")
"""What means something in a pattern of Lua."""

_PROGRAM: Final = r"""
local WRITES = {POST = true, PUT = true, PATCH = true}

local function real_path(path)
  for _, alias in ipairs(ALIASES) do
    if path:sub(1, #alias[1]) == alias[1] then return alias[2] .. path:sub(#alias[1] + 1) end
  end
  return path
end

-- Whether a method takes the body of this request as it is, whatever it holds.
local function taken_raw(method, path)
  path = path:match("^[^?]*")
  for _, raw in ipairs(RAW) do
    if raw[1] == method and path:match(raw[2]) then return true end
  end
  return false
end

-- What is not JSON is refused by its name and not by its first letter. So are the types that a page of another origin
-- may send without asking, with the password that a browser remembers.
local function unfit(headers)
  local kind = headers:get("content-type")
  if kind == nil or headers:get("content-length") == "0" then return nil end
  local name = kind:lower():match("^%s*([^;%s]*)")
  if name == "application/json" or name:match("^application/[%w.-]+%+json$") then return nil end
  -- Calls to services that nobody routes: gRPC has an answer of its own for them.
  if name:match("^application/grpc") then return nil end
  return kind:sub(1, 100):gsub("[^%w/.+;= _-]", "?")
end

-- A moment as people write it, a date alone or without an offset (UTC), as the transcoder reads it; nil if it is none.
local function whole_moment(text)
  local date, rest = text:match("^(%d%d%d%d%-%d%d%-%d%d)(.*)$")
  if date == nil then return nil end
  if rest == "" then return date .. "T00:00:00Z" end
  local time, zone = rest:match("^T([%d:.]+)(.*)$")
  if time == nil then return nil end
  if time:match("^%d%d:%d%d$") then time = time .. ":00" end
  if zone == "" then zone = "Z" end
  -- A plus that was not escaped has come as a blank.
  local sign, hours, minutes = zone:match("^([+ -])(%d%d):?(%d%d)$")
  if sign ~= nil then zone = (sign == "-" and "-" or "+") .. hours .. ":" .. minutes end
  return date .. "T" .. time .. zone
end

local function with_whole_moments(path)
  local bare, query = path:match("^([^?]*)%?(.*)$")
  if query == nil then return path end
  local whole = query:gsub("([^&=]+)=([^&]*)", function(name, value)
    if not MOMENTS[name] then return nil end
    local plain = value:gsub("%+", " "):gsub("%%(%x%x)", function(code) return string.char(tonumber(code, 16)) end)
    local moment = whole_moment(plain)
    if moment == nil then return nil end
    return name .. "=" .. moment:gsub("%+", "%%2B"):gsub(":", "%%3A")
  end)
  return bare .. "?" .. whole
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local method, asked = headers:get(":method"), headers:get(":path")
  local path = real_path(asked)
  if method == "GET" then path = with_whole_moments(path) end
  if path ~= asked then headers:replace(":path", path) end
  if headers:get("authorization") == nil then
    handle:streamInfo():dynamicMetadata():set("flowloom.edge", "anonymous", true)
  end
  local kind = WRITES[method] and unfit(headers)
  if kind and not taken_raw(method, path) then
    -- Flowable takes forms with a file and JSON at one path; here each is a method of its own.
    local bare, query = path:match("^([^?]*)(.*)$")
    local upload = bare .. ":upload" .. query
    if kind:lower():find("multipart/form-data", 1, true) == 1 and taken_raw(method, upload) then
      headers:replace(":path", upload)
      return
    end
    handle:respond({[":status"] = "415"}, "expected content of type application/json, found '" .. kind .. "'")
  end
end

-- The JSON string that follows `key` between `from` and `limit`, quotes left out, escapes kept; nil if there is none.
local function string_after(text, key, from, limit)
  local _, opened = text:find('"' .. key .. '":[ ]*"', from)
  if opened == nil or opened > limit then return nil end
  local at = opened + 1
  while true do
    local found = text:find('["\\]', at)
    if found == nil then return nil end
    if text:sub(found, found) == '"' then return text:sub(opened + 1, found - 1) end
    at = found + 2
  end
end

-- The transcoder writes google.rpc.Status with its fields in order: code, message, details. A quote inside a text is
-- escaped, so the unescaped markers below cannot come from what a user wrote.
local function error_frame(text, status, name)
  local details = text:find('"details":[ ]*%[') or #text
  local message = string_after(text, "message", 1, details) or ""
  local reason = ""
  local info = text:find('"@type":[ ]*"type.googleapis.com/google.rpc.ErrorInfo"', details)
  if info ~= nil then
    local next_detail = text:find('"@type":', info + 8) or #text
    reason = string_after(text, "reason", info, next_detail) or ""
  end
  return '{"message":"' .. (PHRASES[status] or name) .. '","exception":"' .. message ..
    '","code":"' .. name .. '","reason":"' .. reason .. '"}'
end

-- The seconds of a RetryInfo among the details, rounded up; nil if there is none.
local function retry_seconds(text)
  local details = text:find('"details":[ ]*%[')
  local info = details and text:find('"@type":[ ]*"type.googleapis.com/google.rpc.RetryInfo"', details)
  local delay = info and string_after(text, "retryDelay", info, #text)
  local seconds = delay and tonumber(delay:match("^(%d+%.?%d*)s$"))
  return seconds and math.ceil(seconds)
end

local function set_body(handle, body, text)
  handle:headers():remove("content-length")
  local length = body:setBytes(text)
  if length > 0 then handle:headers():replace("content-length", tostring(length)) end
end

local GRPC_HEADERS = {
  "grpc-status", "grpc-message", "grpc-status-details-bin", "grpc-accept-encoding", "grpc-encoding"
}

function envoy_on_response(handle)
  local headers = handle:headers()
  local content_type = headers:get("content-type")
  if content_type ~= nil and content_type:sub(1, 16) == "application/grpc" then return end
  for _, name in ipairs(GRPC_HEADERS) do headers:remove(name) end

  local status = tonumber(headers:get(":status"))
  local metadata = handle:streamInfo():dynamicMetadata():get("flowloom.edge")
  local rpc = metadata ~= nil and metadata["rpc"] or ""
  -- Envoy asks for a token only. Clients that send a password when they are asked for one must be asked for it, too.
  local challenge = headers:get("www-authenticate")
  if status == 401 and metadata ~= nil and metadata["anonymous"] and challenge ~= nil then
    if challenge:find("Basic", 1, true) == nil then headers:add("www-authenticate", CHALLENGE) end
  end
  -- Nothing is kept unless its method says so, and no error ever.
  if status >= 400 then
    headers:replace("cache-control", "no-store")
  elseif KEPT[rpc] ~= nil then
    headers:replace("cache-control", KEPT[rpc])
    -- Two people may share one browser.
    if KEPT[rpc]:find("private", 1, true) then headers:add("vary", "authorization") end
  elseif headers:get("cache-control") == nil then
    headers:replace("cache-control", "no-store")
  end
  if status >= 400 and content_type == "application/json" then
    local body = handle:body(true)
    local text = body:getBytes(0, body:length())
    -- What the edge itself refused has its frame already: there the code is a name.
    local failure = ERRORS[text:match('^{"code":[ ]*(%d+)') or ""]
    if failure == nil then return end
    -- Waiting for the body has outdated `headers`.
    handle:headers():replace(":status", failure[1])
    local wait = retry_seconds(text)
    if wait ~= nil then handle:headers():replace("retry-after", tostring(wait)) end
    set_body(handle, body, error_frame(text, failure[1], failure[2]))
    return
  end

  -- A method whose success depends on the request says so itself.
  local told = headers:get("x-http-status")
  headers:remove("x-http-status")
  if status ~= 200 then return end
  local success = (told == "204" or told == "200") and told or SUCCESSES[rpc]
  if success == nil then return end
  headers:replace(":status", success)
  if success == "204" then
    headers:remove("content-type")
    -- A body after 204 would be read as the start of the next answer.
    set_body(handle, handle:body(true), "")
  end
end
"""


def rest_script(contract: Contract, routed: Iterable[str], aliases: tuple[Alias, ...]) -> str:
    """Return the script with its tables: statuses of success per RPC of the `routed` services, errors, aliases."""
    served = frozenset(routed)
    successes = {
        method.path: str(method.http_status)
        for method in contract.methods
        if method.service in served and method.http_status != 200
    }
    kept = {m.path: m.cache_control for m in contract.methods if m.service in served and m.cache_control}
    errors = {str(error.code): (str(error.http_status), error.name) for error in REST_ERRORS}
    phrases = {str(status): phrase for status, phrase in PHRASES.items()}
    raw = ", ".join(
        f"{{{_quoted(binding.verb)}, {_quoted(_pattern(binding.template))}}}"
        for method in contract.methods
        if method.service in served
        for binding in method.bindings
        if binding.body_is_http_body
    )
    moments = sorted({name for method in contract.methods if method.service in served for name in method.moments})
    pairs = ", ".join(f"{{{_quoted(alias.prefix)}, {_quoted(alias.target)}}}" for alias in aliases)
    return "\n".join(
        (
            f"local ALIASES = {{{pairs}}}",
            f"local RAW = {{{raw}}}",
            f"local MOMENTS = {_table(dict.fromkeys(moments, 'true'))}",
            f"local CHALLENGE = {_quoted(CHALLENGE)}",
            f"local KEPT = {_table({key: _quoted(value) for key, value in kept.items()})}",
            f"local SUCCESSES = {_table({key: _quoted(value) for key, value in successes.items()})}",
            "local ERRORS = "
            + _table({key: f"{{{_quoted(status)}, {_quoted(name)}}}" for key, (status, name) in errors.items()}),
            f"local PHRASES = {_table({key: _quoted(value) for key, value in phrases.items()})}",
            _PROGRAM,
        )
    )


def _table(entries: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"[{_quoted(key)}] = {value}" for key, value in entries.items()) + "}"


def _pattern(template: str) -> str:
    """A path's template as a pattern of Lua: a variable is one segment, or as many as its `**` says."""
    parts = _VARIABLE.split(template)
    names = [".+" if "**" in found else "[^/]+" for found in _VARIABLE.findall(template)]
    plain = [_MAGIC.sub(r"%\g<0>", part) for part in parts]
    return "^" + "".join(part + name for part, name in zip(plain, [*names, ""], strict=True)) + "$"


def _quoted(text: str) -> str:
    # Paths, phrases and status names are plain ASCII, for which JSON and Lua write strings alike.
    return json.dumps(text)
