import type { Clock } from "@cnilab/core";
import type { PluginArguments, Property } from "../corefile/directive-cursor.ts";
import { parseDuration } from "../corefile/go-duration.ts";
import { originsOf } from "../corefile/zone-names.ts";
import { answersQuestion, hasSoa, type ResponseType, responseType } from "../message/classify.ts";
import { type DnsMessage, type ResourceRecord, replyTo } from "../message/message.ts";
import { longestZone, normalizeName } from "../message/name.ts";
import { onlyUse, type PluginSetup } from "../server/plugin.ts";
import type { DnsRequest, Handler, Respond } from "../server/request.ts";

const MIN_TTL = 5;
const MAX_TTL = 3600;

interface Side {
  readonly capacity: number;
  /** Seconds that an answer is kept at most and at least. */
  readonly maxTtl: number;
  readonly minTtl: number;
  /** Zones whose answers are not kept. */
  readonly except: readonly string[];
}

interface CacheSettings {
  readonly zones: readonly string[];
  readonly success: Side;
  readonly denial: Side;
  readonly servfailTtl: number;
  readonly keepTtl: boolean;
  /** Seconds for which an answer may be given after its end; 0 for never. */
  readonly staleFor: number;
  /** Whether the server is asked first, before an old answer is given. */
  readonly staleVerify: boolean;
  /** TTL of an old answer. */
  readonly staleTtl: number;
  readonly prefetch?: {
    readonly amount: number;
    readonly withinMs: number;
    readonly percentage: number;
  };
}

const PROPERTIES = [
  "success",
  "denial",
  "prefetch",
  "serve_stale",
  "servfail",
  "disable",
  "keepttl",
];

/** CoreDNS `plugin/cache`. */
export const setupCache: PluginSetup = (uses, { zones, options }) => {
  const settings = parse(onlyUse(uses), zones);
  return (next) => new Cache(next, settings, options.clock);
};

function parse(use: PluginArguments, blockZones: readonly string[]): CacheSettings {
  let args = use.words;
  let ttl: number | undefined;
  if (/^[+-]?[0-9]+$/.test(args[0] ?? "")) {
    ttl = Number(args[0]);
    if (ttl <= 0) throw use.error(`cache TTL can not be zero or negative: ${ttl}`);
    args = args.slice(1);
  }
  const side = (maxTtl: number): Side => ({
    capacity: 10_000,
    maxTtl,
    minTtl: MIN_TTL,
    except: [],
  });
  let success = side(ttl ?? MAX_TTL);
  let denial = side(ttl ?? MAX_TTL / 2);
  let servfailTtl = MIN_TTL;
  let keepTtl = false;
  let stale = { staleFor: 0, staleVerify: false, staleTtl: 0 };
  let prefetch: CacheSettings["prefetch"];
  for (const property of use.properties) {
    switch (property.name.text) {
      case "success":
        success = parseSide(use, property, success);
        break;
      case "denial":
        denial = parseSide(use, property, denial);
        break;
      case "servfail": {
        const [text] = use.argsOf(property, 1) as [string];
        servfailTtl = duration(use, property, text) / 1000;
        if (servfailTtl > 300) {
          throw use.error(
            "caching SERVFAIL responses over 5 minutes is not permitted",
            property.name,
          );
        }
        break;
      }
      case "disable": {
        const [which, ...except] = use.argsOf(property, 1, Number.POSITIVE_INFINITY);
        const zones = except.length === 0 ? ["."] : except.map(normalizeName);
        if (which === "success") success = { ...success, except: zones };
        else if (which === "denial") denial = { ...denial, except: zones };
        else throw use.error('cache type for disable must be "success" or "denial"', property.name);
        break;
      }
      case "keepttl":
        use.argsOf(property, 0);
        keepTtl = true;
        break;
      case "serve_stale": {
        const [time = "1h", mode = "immediate", ...rest] = use.argsOf(property, 0, 5);
        if (mode !== "immediate" && mode !== "verify") {
          throw use.error(`invalid value for serve_stale refresh mode: ${mode}`, property.name);
        }
        const ttlText = mode === "verify" ? rest[1] : rest[0];
        stale = {
          staleFor: duration(use, property, time) / 1000,
          staleVerify: mode === "verify",
          staleTtl: ttlText === undefined ? 0 : duration(use, property, ttlText) / 1000,
        };
        break;
      }
      case "prefetch": {
        const [amount, within = "1m", percentage = "10%"] = use.argsOf(property, 1, 3) as [
          string,
          string?,
          string?,
        ];
        prefetch = {
          amount: use.number(property, amount, 0, 2 ** 31),
          withinMs: duration(use, property, within),
          percentage: use.number(property, percentage.replace(/%$/, ""), 10, 90),
        };
        break;
      }
      default:
        throw use.unknown(property, PROPERTIES);
    }
  }
  return {
    zones: originsOf(args, blockZones),
    success,
    denial,
    servfailTtl,
    keepTtl,
    ...stale,
    ...(prefetch === undefined ? {} : { prefetch }),
  };
}

function parseSide(use: PluginArguments, property: Property, side: Side): Side {
  const [capacity, maxTtl, minTtl] = use.argsOf(property, 1, 3) as [string, string?, string?];
  const most = 2 ** 31 - 1;
  return {
    ...side,
    capacity: use.number(property, capacity, 0, most),
    maxTtl: maxTtl === undefined ? side.maxTtl : use.number(property, maxTtl, 1, most),
    minTtl: minTtl === undefined ? side.minTtl : use.number(property, minTtl, 0, most),
  };
}

function duration(use: PluginArguments, property: Property, text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined || ms < 0) {
    throw use.error(
      `${property.name.text}: "${text}" is not a duration such as 30s`,
      property.name,
    );
  }
  return ms;
}

/** An answer that is kept. */
class Item {
  readonly message: DnsMessage;
  /** Seconds. */
  readonly ttl: number;
  storedAt: number;
  hits = 0;
  lastHit: number;
  refreshing = false;

  constructor(message: DnsMessage, ttl: number, now: number) {
    this.message = message;
    this.ttl = ttl;
    this.storedAt = now;
    this.lastHit = now;
  }

  /** Seconds that are left; 0 or less when it is over. */
  left(now: number): number {
    return this.ttl - Math.floor((now - this.storedAt) / 1000);
  }

  /** Counts a use; the count begins again after a pause. */
  hit(now: number, withinMs: number): number {
    this.hits = now - this.lastHit > withinMs ? 1 : this.hits + 1;
    this.lastHit = now;
    return this.hits;
  }
}

class Cache implements Handler {
  readonly #next: Handler;
  readonly #settings: CacheSettings;
  readonly #clock: Clock;
  readonly #success = new Map<string, Item>();
  readonly #denial = new Map<string, Item>();

  constructor(next: Handler, settings: CacheSettings, clock: Clock) {
    this.#next = next;
    this.#settings = settings;
    this.#clock = clock;
  }

  serve(request: DnsRequest, respond: Respond): void {
    if (longestZone(this.#settings.zones, request.name) === undefined) {
      this.#next.serve(request, respond);
      return;
    }
    const key = keyOf(request);
    const item = this.#find(key);
    if (item === undefined) {
      this.#ask(request, key, respond);
      return;
    }
    if (item.left(this.#clock.now) > 0) {
      this.#prefetch(request, key, item);
      respond(this.#from(item, request, false));
      return;
    }
    if (!this.#settings.staleVerify) {
      this.#refresh(request, key, item);
      respond(this.#from(item, request, true));
      return;
    }
    this.#ask(request, key, (reply) => {
      const rcode = reply.message?.rcode;
      const usable = rcode === "NOERROR" || rcode === "NXDOMAIN";
      respond(usable ? reply : this.#from(item, request, true));
    });
  }

  #find(key: string): Item | undefined {
    const denial = this.#usable(this.#denial.get(key));
    // Knowing that the server failed does not take the place of a good answer.
    if (denial !== undefined && denial.message.rcode !== "SERVFAIL") return denial;
    return this.#usable(this.#success.get(key)) ?? denial;
  }

  #usable(item: Item | undefined): Item | undefined {
    if (item === undefined) return undefined;
    const left = item.left(this.#clock.now);
    return left > 0 || (this.#settings.staleFor > 0 && -left < this.#settings.staleFor)
      ? item
      : undefined;
  }

  #from(
    item: Item,
    request: DnsRequest,
    stale: boolean,
  ): { message: DnsMessage; rcode: "NOERROR" } {
    const { keepTtl, staleTtl } = this.#settings;
    const left = stale ? staleTtl : keepTtl ? item.ttl : item.left(this.#clock.now);
    const reply = replyTo(request.message, item.message.rcode);
    const { ra } = item.message.flags;
    return {
      message: {
        ...reply,
        flags: { ...reply.flags, aa: true, ra },
        answer: withTtl(item.message.answer, left),
        authority: withTtl(item.message.authority, left),
        additional: withTtl(item.message.additional, left),
      },
      rcode: "NOERROR",
    };
  }

  #ask(request: DnsRequest, key: string, respond: Respond): void {
    this.#next.serve(request, (reply) => {
      if (reply.message === undefined) return respond(reply);
      respond({ ...reply, message: this.#keep(reply.message, request, key) });
    });
  }

  /** The message with the TTL that the cache gives it: all its records get the same. */
  #keep(message: DnsMessage, request: DnsRequest, key: string): DnsMessage {
    const soa = hasSoa(message);
    const notAnswered = message.answer.length > 0 && !answersQuestion(message);
    let type = responseType(message);
    if (type === "NoError" && soa && notAnswered) type = "NoData";
    const ttl = this.#ttlOf(message, type);
    const capped: DnsMessage = {
      ...message,
      answer: withTtl(message.answer, ttl),
      authority: withTtl(message.authority, ttl),
      additional: withTtl(message.additional, ttl),
    };
    const cacheable =
      !message.flags.tc &&
      type !== "OtherError" &&
      type !== "Meta" &&
      !(type === "NameError" && !soa) &&
      !(type === "NoError" && !soa && notAnswered);
    if (cacheable && ttl > 0 && matches(message, request)) this.#store(capped, type, key, ttl);
    return capped;
  }

  #ttlOf(message: DnsMessage, type: ResponseType): number {
    const { success, denial, servfailTtl } = this.#settings;
    if (type === "ServerError") return servfailTtl;
    const side = type === "NameError" || type === "NoData" ? denial : success;
    const records = [...message.answer, ...message.authority, ...message.additional];
    const known = type === "NoError" || type === "NameError" || type === "NoData";
    let least = side.maxTtl;
    if (!known || records.length === 0) least = MIN_TTL;
    else for (const record of records) least = Math.min(least, record.ttl);
    return Math.min(Math.max(least, side.minTtl), side.maxTtl);
  }

  #store(message: DnsMessage, type: ResponseType, key: string, ttl: number): void {
    const positive = type === "NoError" || type === "Delegation";
    const side = positive ? this.#settings.success : this.#settings.denial;
    const name = message.question[0]?.name.toLowerCase() ?? ".";
    if (longestZone(side.except, name) !== undefined) return;
    const items = positive ? this.#success : this.#denial;
    items.delete(key);
    // CoreDNS throws a random one of the shard out; here it is the one that has been there longest.
    if (items.size >= side.capacity) items.delete(items.keys().next().value ?? "");
    if (side.capacity > 0) items.set(key, new Item(message, ttl, this.#clock.now));
  }

  #prefetch(request: DnsRequest, key: string, item: Item): void {
    const { prefetch } = this.#settings;
    if (prefetch === undefined || prefetch.amount === 0) return;
    const hits = item.hit(this.#clock.now, prefetch.withinMs);
    const threshold = Math.ceil((prefetch.percentage / 100) * item.ttl);
    if (hits >= prefetch.amount && item.left(this.#clock.now) <= threshold) {
      this.#refresh(request, key, item);
    }
  }

  #refresh(request: DnsRequest, key: string, item: Item): void {
    if (item.refreshing) return;
    item.refreshing = true;
    this.#ask(request, key, () => {
      item.refreshing = false;
    });
  }
}

function keyOf({ name, question, message }: DnsRequest): string {
  const dnssec = `${message.edns?.do === true ? 1 : 0}${message.flags.cd === true ? 1 : 0}`;
  return `${dnssec} ${question.type} ${question.class ?? "IN"} ${name}`;
}

function matches({ question, flags }: DnsMessage, request: DnsRequest): boolean {
  const [asked] = question;
  return (
    question.length === 1 &&
    flags.qr &&
    asked?.name.toLowerCase() === request.name &&
    asked.type === request.question.type
  );
}

function withTtl(records: readonly ResourceRecord[], ttl: number): readonly ResourceRecord[] {
  return records.map((record) => (record.ttl === ttl ? record : { ...record, ttl }));
}
