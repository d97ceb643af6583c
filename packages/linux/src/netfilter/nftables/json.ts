import type { DeviceNames, Json } from "./data-type.ts";
import { DATA_TYPES } from "./data-type.ts";
import { keyExpression } from "./evaluate-set.ts";
import type { Expression, SetReference } from "./expression.ts";
import { sizeAndUnit, unitName } from "./format.ts";
import type { KeyPart } from "./key-words.ts";
import type { NftSet } from "./nft-set.ts";
import { DEFAULT_BURST } from "./parse-stateful.ts";
import type { SetElements, StoredElement } from "./set-elements.ts";
import type { Limit, Log, Match, Nat, Quota, Reject, Statement } from "./statement.ts";
import type { NftChain, NftObject, NftRule, Table } from "./table.ts";

/** What the tool says of itself first. */
const METAINFO: Json = {
  metainfo: { version: "1.0.6", release_name: "Lester Gooch #5", json_schema_version: 1 },
};

type JsonObject = { [key: string]: Json };

/** All tables as `nft -j list ruleset` prints them. */
export function rulesetJson(tables: Iterable<Table>, devices: DeviceNames, now: number): Json {
  const list: Json[] = [METAINFO];
  for (const table of tables) list.push(...new TableJson(table, devices, now).all());
  return { nftables: list };
}

class TableJson {
  readonly #table: Table;
  readonly #devices: DeviceNames;
  readonly #now: number;

  constructor(table: Table, devices: DeviceNames, now: number) {
    this.#table = table;
    this.#devices = devices;
    this.#now = now;
  }

  all(): Json[] {
    const table = this.#table;
    const chains = table.listedChains();
    const { family, name, handle } = table;
    const self: JsonObject = { family, name, handle };
    if (table.dormant) self["flags"] = "dormant";
    return [
      { table: self },
      ...table.listedObjects().map((object) => this.#object(object)),
      ...table.listedSets().map((set) => this.#set(set)),
      ...chains.map((chain) => this.#chain(chain)),
      ...chains.flatMap((chain) => chain.rules.map((rule) => this.#rule(chain, rule))),
    ];
  }

  #chain({ name, handle, base }: NftChain): Json {
    const { family, name: table } = this.#table;
    const chain: JsonObject = { family, table, name, handle };
    if (base !== undefined) {
      const { type, hook, priority, policy, devices } = base;
      Object.assign(chain, { type, hook, prio: priority, policy });
      if (devices.length === 1) chain["dev"] = devices[0] as string;
    }
    return { chain };
  }

  #object({ name, handle, comment, object }: NftObject): Json {
    const { family, name: table } = this.#table;
    const json: JsonObject = { family, name, table, handle };
    if (comment !== undefined) json["comment"] = comment;
    const state = this.#table.states.get(object);
    switch (object.kind) {
      case "counter":
        json["packets"] = object.packets + (state?.packets ?? 0);
        json["bytes"] = object.bytes + (state?.bytes ?? 0);
        break;
      case "quota":
        json["bytes"] = object.bytes;
        json["used"] = object.used + (state?.bytes ?? 0);
        json["inv"] = object.over;
        break;
      case "limit":
        Object.assign(json, namedLimit(object));
        break;
    }
    return { [object.kind]: json };
  }

  #set(set: NftSet): Json {
    const { options } = set;
    const { family, name: table } = this.#table;
    const json: JsonObject = {
      family,
      name: set.name,
      table,
      type: typeNames(options.key),
      handle: options.handle,
    };
    if (options.comment !== undefined) json["comment"] = options.comment;
    if (options.isMap) {
      const data = options.data?.map(({ type }) => type.name).join(" . ");
      json["map"] = options.objects ?? (options.verdicts ? "verdict" : (data as string));
    }
    if (!options.constant) {
      if (options.policy !== "performance") json["policy"] = options.policy;
      if (options.size !== undefined) json["size"] = options.size;
    }
    const flags = (["constant", "interval", "timeout"] as const).filter((flag) => options[flag]);
    if (flags.length > 0) json["flags"] = flags;
    if (options.timeoutMs !== undefined) json["timeout"] = Math.floor(options.timeoutMs / 1000);
    if (options.gcIntervalMs !== undefined) {
      json["gc-interval"] = Math.floor(options.gcIntervalMs / 1000);
    }
    const elements = this.#table.elementsOf(set, this.#now);
    elements.collect(this.#now);
    if (elements.size > 0) json["elem"] = this.#elements(set, elements);
    if (options.stateful.length > 0) json["stmt"] = options.stateful.map((s) => this.#bare(s));
    return { [options.isMap ? "map" : "set"]: json };
  }

  #elements(set: NftSet, elements: SetElements): Json[] {
    return elements.sorted().map((element) => {
      const key = this.#elementKey(set, element);
      return element.data === undefined ? key : [key, this.#expression(element.data)];
    });
  }

  #elementKey(set: NftSet, element: StoredElement): Json {
    const { key, timeoutMs, expires, comment, stateful } = element;
    const value = key === undefined ? "*" : this.#expression(keyExpression(key, set.options.key));
    const formal: JsonObject = { val: value };
    if (timeoutMs !== undefined && timeoutMs !== set.options.timeoutMs) {
      formal["timeout"] = Math.floor(timeoutMs / 1000);
    }
    if (expires !== Number.POSITIVE_INFINITY) {
      formal["expires"] = Math.floor((expires - this.#now) / 1000);
    }
    if (comment !== undefined) formal["comment"] = comment;
    // Only the first statement of an element is told.
    const [first] = stateful;
    if (first !== undefined) Object.assign(formal, this.#statement(first));
    return Object.keys(formal).length === 1 ? value : { elem: formal };
  }

  #rule(chain: NftChain, rule: NftRule): Json {
    const { family, name: table } = this.#table;
    const json: JsonObject = { family, table, chain: chain.name, handle: rule.handle };
    if (rule.comment !== undefined) json["comment"] = rule.comment;
    json["expr"] = rule.statements
      .filter((s) => s.kind !== "match" || s.implied !== true)
      .map((statement) => this.#statement(statement));
    return { rule: json };
  }

  /** A statement without what it has counted. */
  #bare(statement: Statement): Json {
    return statement.kind === "counter" ? { counter: null } : this.#statement(statement);
  }

  #statement(statement: Statement): JsonObject {
    switch (statement.kind) {
      case "match":
        return this.#match(statement);
      case "verdict":
        return this.#expression(statement.verdict) as JsonObject;
      case "vmap":
        return this.#expression(statement.map) as JsonObject;
      case "counter": {
        const state = this.#table.states.get(statement);
        return {
          counter: {
            packets: statement.packets + (state?.packets ?? 0),
            bytes: statement.bytes + (state?.bytes ?? 0),
          },
        };
      }
      case "quota":
        return { quota: quotaJson(statement, this.#table.states.get(statement)?.bytes ?? 0) };
      case "limit":
        return { limit: limitJson(statement) };
      case "ctCount": {
        const { count, over } = statement;
        return { "ct count": over ? { val: count, inv: true } : { val: count } };
      }
      case "object":
        return { [statement.objectType]: statement.name };
      case "log":
        return { log: logJson(statement) };
      case "reject":
        return { reject: this.#reject(statement) };
      case "nat":
        return { [statement.nat]: this.#nat(statement) };
      case "mangle": {
        const key = this.#expression(statement.target);
        return { mangle: { key, value: this.#expression(statement.value) } };
      }
      case "notrack":
        return { notrack: null };
      case "queue": {
        const queue: JsonObject = {
          num: statement.to === undefined ? 0 : this.#expression(statement.to),
        };
        const flags = oneOrMany([
          ...(statement.bypass ? ["bypass"] : []),
          ...(statement.fanout ? ["fanout"] : []),
        ]);
        if (flags !== undefined) queue["flags"] = flags;
        return { queue };
      }
      case "setUpdate": {
        const { operation, set, key, data, timeoutMs, stateful } = statement;
        let elem = this.#expression(key);
        if (timeoutMs !== undefined) {
          elem = { elem: { val: elem, timeout: Math.floor(timeoutMs / 1000) } };
        }
        const json: JsonObject = { op: operation, elem };
        if (data !== undefined) json["data"] = this.#expression(data);
        json[data === undefined ? "set" : "map"] = `@${set.name}`;
        if (stateful.length > 0) json["stmt"] = stateful.map((s) => this.#bare(s));
        return { [data === undefined ? "set" : "map"]: json };
      }
    }
  }

  #match({ left, operator, right, mask }: Match): JsonObject {
    const isMask = right.kind === "value" && right.type.bitmask && left.kind !== "binary";
    const op = operator === "" ? (isMask ? "in" : "==") : operator;
    const subject = this.#expression(left);
    const bits = mask === undefined && operator !== "" ? this.#bits(left, right) : undefined;
    const object = bits ?? this.#expression(right);
    const masked = mask === undefined ? subject : { "&": [subject, this.#expression(mask)] };
    return { match: { op, left: masked, right: object } };
  }

  /**
   * Several bits of a mask that is compared as a whole: `{ "|": [{ "|": [a, b] }, c] }`. Of header fields
   * nft does not take the value apart again (netlink_delinearize.c payload_match_expand).
   */
  #bits(left: Expression, right: Expression): Json | undefined {
    const names = this.#expression(right);
    if (right.kind !== "value" || !Array.isArray(names)) return undefined;
    if (left.kind === "payload") return Number(right.value);
    return (names as Json[]).reduce((sum, bit) => ({ "|": [sum, bit] }));
  }

  #reject({ type, code }: Reject): Json {
    return code === undefined ? { type } : { type, expr: this.#expression(code) };
  }

  #nat(nat: Nat): Json {
    const json: JsonObject = {};
    if (nat.showFamily && nat.family !== undefined && (nat.address ?? nat.port) !== undefined) {
      json["family"] = nat.family === 4 ? "ip" : "ip6";
    }
    if (nat.address !== undefined) json["addr"] = this.#expression(nat.address);
    if (nat.port !== undefined) json["port"] = this.#expression(nat.port);
    const flags = oneOrMany(nat.prefix ? [...nat.flags, "netmap"] : nat.flags);
    if (flags !== undefined) json["flags"] = flags;
    if (nat.prefix) json["type_flags"] = "prefix";
    return Object.keys(json).length === 0 ? null : json;
  }

  #expression(expression: Expression): Json {
    const json = (inner: Expression): Json => this.#expression(inner);
    switch (expression.kind) {
      case "symbol":
        return expression.text;
      case "value":
        return this.#value(expression);
      case "prefix":
        if (expression.base.kind === "value" && expression.base.type === DATA_TYPES.ifname) {
          return `${expression.base.type.json(expression.base.value, this.#devices)}*`;
        }
        return { prefix: { addr: json(expression.base), len: expression.length } };
      case "range":
        return { range: [this.#numeric(expression.from), this.#numeric(expression.to)] };
      case "payload": {
        const { protocol, name } = expression.field;
        return { payload: { protocol, field: name } };
      }
      case "meta":
        return { meta: { key: expression.key } };
      case "ct": {
        const ct: JsonObject = { key: expression.key };
        if (expression.direction !== undefined) ct["dir"] = expression.direction;
        return { ct };
      }
      case "fib":
        return { fib: { result: expression.result, flags: [...expression.flags] } };
      case "numgen": {
        const { mode, modulus, offset } = expression;
        return { numgen: { mode, mod: modulus, offset } };
      }
      case "hash": {
        const hash: JsonObject = { mod: expression.modulus };
        if (expression.seed !== undefined) hash["seed"] = expression.seed;
        if (expression.offset !== 0) hash["offset"] = expression.offset;
        if (expression.of === undefined) return { symhash: hash };
        hash["expr"] = json(expression.of);
        return { jhash: hash };
      }
      case "binary":
        return { [expression.operator]: [json(expression.left), json(expression.right)] };
      case "concat":
        return { concat: expression.parts.map(json) };
      case "list":
        return expression.items.map(json);
      case "verdict":
        return expression.chain === undefined
          ? { [expression.verdict]: null }
          : { [expression.verdict]: { target: expression.chain } };
      case "setRef":
        return this.#reference(expression);
      case "set":
        return { set: [] };
      case "map":
        return {
          [expression.verdict ? "vmap" : "map"]: {
            key: json(expression.key),
            data: json(expression.mappings),
          },
        };
    }
  }

  #value({ type, value }: Expression & { kind: "value" }): Json {
    if (!type.bitmask) return type.json(value, this.#devices);
    const bits: Json[] = [];
    let rest = value;
    for (const [name, bit] of type.symbols) {
      if ((rest & bit) === 0n) continue;
      bits.push(name);
      rest &= ~bit;
    }
    if (bits.length === 0 || rest !== 0n) return Number(value);
    return bits.length === 1 ? (bits[0] as Json) : bits;
  }

  /** Ends of ranges do without the names of protocols. */
  #numeric(expression: Expression): Json {
    if (expression.kind !== "value" || expression.type !== DATA_TYPES.inet_proto) {
      return this.#expression(expression);
    }
    return Number(expression.value);
  }

  #reference({ set, name }: SetReference): Json {
    if (set === undefined || !set.options.anonymous) return `@${name}`;
    return { set: this.#elements(set, set.elements) };
  }
}

function typeNames(parts: readonly KeyPart[]): Json {
  const names = parts.map(({ type }) => type.name);
  return names.length === 1 ? (names[0] as string) : names;
}

/** libnftables-json leaves out brackets around a single value. */
function oneOrMany(values: readonly string[]): Json | undefined {
  if (values.length === 0) return undefined;
  return values.length === 1 ? (values[0] as string) : [...values];
}

function limitJson(limit: Limit): JsonObject {
  const { rate, burst, unitSeconds, over, countsBytes } = limit;
  const [rateSize, rateUnit] = sizeAndUnit(rate);
  const [burstSize, burstUnit] = sizeAndUnit(burst);
  const json: JsonObject = {
    rate: countsBytes ? rateSize : rate,
    burst: countsBytes ? burstSize : burst,
    per: unitName(unitSeconds),
  };
  if (over) json["inv"] = true;
  if (countsBytes) {
    json["rate_unit"] = rateUnit;
    json["burst_unit"] = burstUnit;
  }
  return json;
}

function namedLimit(limit: Limit): JsonObject {
  const { burst, ...rest } = limitJson(limit) as JsonObject & { burst: number };
  return burst === 0 ? rest : { ...rest, burst: burst ?? DEFAULT_BURST };
}

function quotaJson({ bytes, used, over }: Quota, more: number): JsonObject {
  const [val, val_unit] = sizeAndUnit(bytes);
  const json: JsonObject = { val, val_unit };
  if (over) json["inv"] = true;
  if (used + more > 0) [json["used"], json["used_unit"]] = sizeAndUnit(used + more);
  return json;
}

function logJson(log: Log): Json {
  const json: JsonObject = {};
  if (log.prefix !== undefined) json["prefix"] = log.prefix;
  if (log.group !== undefined) json["group"] = log.group;
  if (log.snaplen !== undefined) json["snaplen"] = log.snaplen;
  if (log.queueThreshold !== undefined) json["queue-threshold"] = log.queueThreshold;
  if (log.level !== undefined && log.level !== "warn") json["level"] = log.level;
  const flags = oneOrMany(log.flags);
  if (flags !== undefined) json["flags"] = flags;
  return Object.keys(json).length === 0 ? null : json;
}
