import type { Clock, Random } from "@cnilab/core";
import { type IpAddress, tryParseIp } from "@cnilab/net";
import type { PluginArguments } from "../corefile/directive-cursor.ts";
import { parseDuration } from "../corefile/go-duration.ts";
import { originsOf, parseZone, splitScheme } from "../corefile/zone-names.ts";
import { type Rcode, replyTo } from "../message/message.ts";
import { isDomainName, isSubdomain, longestZone, normalizeName } from "../message/name.ts";
import { RCODES } from "../message/record-types.ts";
import { parseResolvConf } from "../resolver/resolv-conf.ts";
import type { PluginContext, PluginSetup } from "../server/plugin.ts";
import type { DnsRequest, Handler, Respond } from "../server/request.ts";
import { Upstream } from "./upstream.ts";

const PORT = 53;
const MAX_UPSTREAMS = 15;
/** A query is given up after so long, however many servers are left. */
const DEADLINE_MS = 5000;
/** What stands for no limit of attempts. */
const UNLIMITED = 1000;

type Policy = "random" | "round_robin" | "sequential";

interface ForwardSettings {
  readonly from: string;
  readonly except: readonly string[];
  readonly maxFails: number;
  readonly policy: Policy;
  readonly forceTcp: boolean;
  readonly preferUdp: boolean;
  /** 0 for no limit. */
  readonly maxConcurrent: number;
  /** 0 for no limit; undefined for two for each server. */
  readonly maxConnectAttempts?: number;
  readonly failover: readonly Rcode[];
  /** Answers that the next `forward` of the block is asked for. */
  readonly next: readonly Rcode[];
  readonly nextOnNoData: boolean;
  readonly failFast: boolean;
}

const PROPERTIES = [
  "except",
  "force_tcp",
  "prefer_udp",
  "expire",
  "max_age",
  "max_fails",
  "max_connect_attempts",
  "max_concurrent",
  "max_idle_conns",
  "read_timeout",
  "policy",
  "health_check",
  "failover",
  "next",
  "next_on_nodata",
  "failfast_all_unhealthy_upstreams",
];

/** CoreDNS `plugin/forward`. Several of them in a block are asked in order, each for its own zone. */
export const setupForward: PluginSetup = (uses, context) => {
  const makers = uses.map((use) => parse(use, context));
  return (next) => makers.reduceRight<Handler>((after, make) => make(after), next);
};

function parse(use: PluginArguments, context: PluginContext): (next: Handler) => Handler {
  const { options } = context;
  const [from, ...to] = use.words;
  if (from === undefined || to.length === 0) {
    throw use.error("wrong argument count: it needs a zone and the servers to ask");
  }
  const zone = parseZone(from);
  if ("problem" in zone) throw use.error(zone.problem, use.args[0]);
  let settings: ForwardSettings = {
    from: zone.zones[0] as string,
    except: [],
    maxFails: 2,
    policy: "random",
    forceTcp: false,
    preferUdp: false,
    maxConcurrent: 0,
    failover: [],
    next: [],
    nextOnNoData: false,
    failFast: false,
  };
  let expireMs = 10_000;
  let readTimeoutMs = 2000;
  let healthCheckMs = 500;
  let healthName = ".";
  let healthRd = true;
  const many = Number.POSITIVE_INFINITY;
  const limit = 2 ** 31 - 1;
  for (const property of use.properties) {
    const number = () => use.number(property, use.argsOf(property, 1)[0] as string, 0, limit);
    const duration = (text: string | undefined, least = 0): number => {
      const ms = parseDuration(text ?? "");
      if (ms !== undefined && ms >= least) return ms;
      throw use.error(
        `${property.name.text}: "${text}" is not a duration such as 10s`,
        property.name,
      );
    };
    const rcodes = () =>
      use.argsOf(property, 1, many).map((text) => {
        const rcode = RCODES.find((each) => each === text.toUpperCase());
        if (rcode === undefined) throw use.error(`${text} is not a valid rcode`, property.name);
        return rcode;
      });
    switch (property.name.text) {
      case "except":
        settings = { ...settings, except: originsOf(use.argsOf(property, 1, many), []) };
        break;
      case "max_fails":
        settings = { ...settings, maxFails: number() };
        break;
      case "max_connect_attempts":
        settings = { ...settings, maxConnectAttempts: number() };
        break;
      case "max_concurrent":
        settings = { ...settings, maxConcurrent: number() };
        break;
      case "max_idle_conns":
        number();
        break;
      case "force_tcp":
        use.argsOf(property, 0);
        settings = { ...settings, forceTcp: true };
        break;
      case "prefer_udp":
        use.argsOf(property, 0);
        settings = { ...settings, preferUdp: true };
        break;
      case "next_on_nodata":
        use.argsOf(property, 0);
        settings = { ...settings, nextOnNoData: true };
        break;
      case "failfast_all_unhealthy_upstreams":
        use.argsOf(property, 0);
        settings = { ...settings, failFast: true };
        break;
      case "expire":
        expireMs = duration(use.argsOf(property, 1)[0]);
        break;
      case "max_age":
        duration(use.argsOf(property, 1)[0]);
        break;
      case "read_timeout":
        readTimeoutMs = duration(use.argsOf(property, 1)[0], 1e-6);
        break;
      case "health_check": {
        const [time, ...more] = use.argsOf(property, 1, 4);
        healthCheckMs = Math.max(duration(time), 1);
        for (let i = 0; i < more.length; i++) {
          if (more[i] === "no_rec") healthRd = false;
          else if (more[i] === "domain" && isDomainName(more[i + 1] ?? "")) {
            healthName = normalizeName(more[++i] as string);
          } else throw use.error(`health_check: unknown option ${more[i]}`, property.name);
        }
        break;
      }
      case "policy": {
        const [policy] = use.argsOf(property, 1);
        if (policy !== "random" && policy !== "round_robin" && policy !== "sequential") {
          throw use.error(`unknown policy '${policy}'`, property.name);
        }
        settings = { ...settings, policy };
        break;
      }
      case "failover": {
        const failover = rcodes();
        if (failover.includes("NOERROR")) {
          throw use.error("NoError cannot be used in failover", property.name);
        }
        settings = { ...settings, failover };
        break;
      }
      case "next":
        settings = { ...settings, next: rcodes() };
        break;
      case "tls":
      case "tls_servername":
      case "doh_method":
      case "resolver":
      case "source_address":
        throw use.error(`${property.name.text} is not modelled`, property.name);
      default:
        throw use.unknown(property, PROPERTIES);
    }
  }
  const servers = to.flatMap((text, i) => serversOf(use, text, context, i));
  if (servers.length > MAX_UPSTREAMS) {
    throw use.error(`more than ${MAX_UPSTREAMS} TOs configured: ${servers.length}`);
  }
  if (servers.length === 0) throw use.error("no nameservers found");
  const random = options.random.fork(`forward ${settings.from}`);
  const upstreams = servers.map(
    ({ address, port }) =>
      new Upstream(address, port, {
        transport: options.transport,
        clock: options.clock,
        random,
        expireMs,
        readTimeoutMs,
        healthCheckMs,
        healthCheck: {
          name: healthName,
          rd: healthRd,
          protocol: settings.forceTcp ? "tcp" : "udp",
        },
      }),
  );
  return (next) => new Forward(next, settings, upstreams, options.clock, random);
}

/** `ADDRESS[:PORT]`, or a file such as /etc/resolv.conf with the servers to ask. */
function serversOf(
  use: PluginArguments,
  text: string,
  context: PluginContext,
  at: number,
): { readonly address: IpAddress; readonly port: number }[] {
  const token = use.args[at + 1];
  const { scheme, rest } = splitScheme(text);
  if (scheme !== "dns")
    throw use.error(`upstreams over ${scheme} are not modelled: ${text}`, token);
  const plain = tryParseIp(rest.replace(/^\[(.*)\]$/, "$1").replace(/%.*$/, ""));
  if (plain !== undefined) return [{ address: plain, port: PORT }];
  const split = /^(?:\[([^\]]+)\]|([^:]+)):([0-9]+)$/.exec(rest);
  const address =
    split === null ? undefined : tryParseIp((split[1] ?? split[2] ?? "").replace(/%.*$/, ""));
  if (address !== undefined && Number(split?.[3]) <= 65_535)
    return [{ address, port: Number(split?.[3]) }];
  const file = context.readFile(rest);
  if (file === undefined) throw use.error(`not an IP address or file: "${text}"`, token);
  return parseResolvConf(file).nameservers.map((each) => ({ address: each, port: PORT }));
}

class Forward implements Handler {
  readonly #next: Handler;
  readonly #settings: ForwardSettings;
  readonly #upstreams: readonly Upstream[];
  readonly #clock: Clock;
  readonly #random: Random;
  #robin = 0;
  #concurrent = 0;

  constructor(
    next: Handler,
    settings: ForwardSettings,
    upstreams: readonly Upstream[],
    clock: Clock,
    random: Random,
  ) {
    this.#next = next;
    this.#settings = settings;
    this.#upstreams = upstreams;
    this.#clock = clock;
    this.#random = random;
  }

  /** Closes the sockets that are kept open. */
  close(): void {
    for (const upstream of this.#upstreams) upstream.close();
  }

  serve(request: DnsRequest, respond: Respond): void {
    const { from, except, maxConcurrent } = this.#settings;
    const { name } = request;
    const excepted = name !== from && longestZone(except, name) !== undefined;
    if (!isSubdomain(from, name) || excepted) {
      this.#next.serve(request, respond);
      return;
    }
    if (maxConcurrent > 0 && this.#concurrent >= maxConcurrent) {
      respond({
        rcode: "REFUSED",
        error: `concurrent queries exceeded maximum ${maxConcurrent}`,
      });
      return;
    }
    this.#concurrent++;
    this.#forward(request, (reply) => {
      this.#concurrent--;
      respond(reply);
    });
  }

  #forward(request: DnsRequest, respond: Respond): void {
    const settings = this.#settings;
    const count = this.#upstreams.length;
    const list = this.#list();
    const deadline = this.#clock.now + DEADLINE_MS;
    // Without a limit of its own it is time that ends it, which closed ports take none of here.
    const most =
      settings.maxConnectAttempts === 0 ? UNLIMITED : (settings.maxConnectAttempts ?? 2 * count);
    let at = 0;
    let down = 0;
    let attempts = 0;
    let failovers = 0;
    let lastError = "no healthy proxies";
    const give = (): void => respond({ rcode: "SERVFAIL", error: lastError });

    const pick = (): Upstream | undefined => {
      for (;;) {
        if (at >= list.length) {
          at = 0;
          down = 0;
        }
        const upstream = list[at++] as Upstream;
        if (!upstream.isDown(settings.maxFails)) return upstream;
        if (++down < count) continue;
        // All are down: perhaps it is the health checks that fail.
        return settings.failFast ? undefined : this.#upstreams[this.#random.below(count)];
      }
    };

    const attempt = (): void => {
      if (this.#clock.now >= deadline || attempts >= most) {
        give();
        return;
      }
      const upstream = pick();
      if (upstream === undefined) {
        give();
        return;
      }
      ask(upstream, settings.forceTcp);
    };

    const ask = (upstream: Upstream, forceTcp: boolean): void => {
      const protocol = forceTcp ? "tcp" : settings.preferUdp ? "udp" : request.client.protocol;
      upstream.ask(request.message, protocol, (result) => {
        if (typeof result === "string") {
          lastError = `${upstream.name} over ${protocol}: ${result}`;
          if (settings.maxFails > 0) upstream.checkHealth();
          attempts++;
          return down < count ? attempt() : give();
        }
        if (result.flags.tc && !forceTcp && settings.preferUdp) return ask(upstream, true);
        const [asked] = result.question;
        const matches =
          result.flags.qr &&
          result.question.length === 1 &&
          asked?.name.toLowerCase() === request.name &&
          asked.type === request.question.type;
        if (!matches) {
          return respond({ message: replyTo(request.message, "FORMERR"), rcode: "NOERROR" });
        }
        if (settings.failover.includes(result.rcode) && ++failovers < count) return attempt();
        const empty = result.rcode === "NOERROR" && result.answer.length === 0;
        const handOn = settings.next.includes(result.rcode) || (settings.nextOnNoData && empty);
        if (handOn && this.#next instanceof Forward) return this.#next.serve(request, respond);
        respond({ message: result, rcode: "NOERROR" });
      });
    };
    attempt();
  }

  #list(): readonly Upstream[] {
    const all = this.#upstreams;
    switch (this.#settings.policy) {
      case "sequential":
        return all;
      case "round_robin": {
        this.#robin = (this.#robin + 1) % all.length;
        const first = all[this.#robin] as Upstream;
        return [first, ...all.filter((each) => each !== first)];
      }
      default: {
        const list = [...all];
        for (let i = 0; i < list.length - 1; i++) {
          const other = i + this.#random.below(list.length - i);
          [list[i], list[other]] = [list[other] as Upstream, list[i] as Upstream];
        }
        return list;
      }
    }
  }
}
