import type { Clock, Random } from "@cnilab/core";
import { familyOf, type IpAddress, type IpFamily, tryParseIp } from "@cnilab/net";
import { type DnsMessage, queryOf } from "../message/message.ts";
import { fqdn, isDomainName, joinNames, labelsOf } from "../message/name.ts";
import type { DnsTransport } from "../transport.ts";
import { GlibcSender } from "./glibc-send.ts";
import type { HostsTable } from "./hosts-table.ts";
import { MuslSender } from "./musl-send.ts";
import { hasOption, optionNumber, type ResolvConf } from "./resolv-conf.ts";
import type {
  AddressFamilyHint,
  GaiError,
  LookupResult,
  QueryResult,
  ResolverFlavour,
} from "./resolver-types.ts";
import type { Exchange, Sender } from "./send.ts";
import { StepLog } from "./step-log.ts";

export interface ResolverOptions {
  readonly resolvConf: ResolvConf;
  /** glibc where it is absent. */
  readonly flavour?: ResolverFlavour;
  readonly transport: DnsTransport;
  readonly clock: Clock;
  /** For query ids, and where `rotate` begins. */
  readonly random: Random;
  /** /etc/hosts, which is looked into first. */
  readonly hosts?: HostsTable;
}

/** RES_MAXNDOTS, the same in musl. */
const MAX_NDOTS = 15;
/** What glibc's `edns0` option announces (RES_MAX_EDNS_BUFFER_SIZE). */
const EDNS_SIZE = 1200;

/** How a name that was tried ended. */
type Outcome =
  | "found"
  | "no such name"
  | "no data"
  | "servfail"
  | "no answer"
  | "no server"
  | "failed";

type Asked = Pick<LookupResult, "steps" | "unasked">;

/** A process' resolver: what getaddrinfo and res_search ask, and what they make of the answers. */
export class Resolver {
  readonly #options: ResolverOptions;
  readonly #musl: boolean;
  readonly #ndots: number;
  readonly #sender: Sender;

  constructor(options: ResolverOptions) {
    const { resolvConf, transport, clock, random, flavour = "glibc" } = options;
    this.#options = options;
    this.#musl = flavour === "musl";
    this.#ndots = Math.min(optionNumber(resolvConf, "ndots") ?? 1, MAX_NDOTS);
    const context = { conf: resolvConf, transport, clock, random };
    this.#sender = this.#musl ? new MuslSender(context) : new GlibcSender(context);
  }

  /** Addresses of a name, as getaddrinfo(3) finds them. */
  lookup(name: string, family: AddressFamilyHint, done: (result: LookupResult) => void): void {
    const families = FAMILIES[family];
    const numeric = tryParseIp(name);
    if (numeric !== undefined) {
      const fits = families.includes(familyOf(numeric));
      done(
        fits
          ? { addresses: [numeric], steps: [], unasked: "address" }
          : { addresses: [], error: "EAI_NONAME", steps: [], unasked: "address" },
      );
      return;
    }
    const local = this.#options.hosts?.of(name, families) ?? [];
    if (local.length > 0) {
      done({ addresses: local, steps: [], unasked: "hosts" });
      return;
    }
    const types = families.map((each) => (each === 4 ? "A" : "AAAA"));
    this.#search(name, types, (outcome, { answers }, asked) => {
      const addresses = answers.flatMap((answer) => addressesOf(answer));
      if (addresses.length === 0) {
        done({ addresses, error: this.#errorOf(outcome), ...asked });
        return;
      }
      const canonicalName = answers.map(canonicalNameOf).find((each) => each !== undefined);
      done({ addresses, ...(canonicalName === undefined ? {} : { canonicalName }), ...asked });
    });
  }

  /** Records of one type, with the search list, as res_search(3) and most tools but dig find them. */
  query(name: string, type: string, done: (result: QueryResult) => void): void {
    this.#search(name, [type], (_, { answers }, asked) => {
      const [answer] = answers;
      done(answer === undefined ? asked : { answer, ...asked });
    });
  }

  /** The names that are tried, in order, where each but the last is not there. */
  candidates(name: string): string[] {
    const bare = fqdn(name);
    if (bare === name) return [bare];
    const dots = labelsOf(name).length - 1;
    const searched = this.#options.resolvConf.search.map((domain) => joinNames(name, domain));
    if (dots >= this.#ndots) return this.#musl ? [bare] : [bare, ...searched];
    return [...searched, bare];
  }

  #search(
    name: string,
    types: readonly string[],
    done: (outcome: Outcome, last: Exchange, asked: Asked) => void,
  ): void {
    const log = new StepLog(this.#options.clock);
    const candidates = this.candidates(name);
    const nothing: Exchange = { answers: [] };
    const seen: Outcome[] = [];
    const tryNext = (i: number, last: Exchange): void => {
      const candidate = candidates[i];
      if (candidate === undefined) {
        const bareFirst = candidates.length > 1 && candidates[0] === fqdn(name);
        done(bareFirst ? (seen[0] as Outcome) : this.#summary(seen), last, { steps: log.steps });
        return;
      }
      // A name that is too long with this ending is not asked for.
      if (!isDomainName(candidate)) {
        seen.push("no such name");
        tryNext(i + 1, last);
        return;
      }
      this.#sender.send(this.#queriesOf(candidate, types), log, (exchange) => {
        const outcome = outcomeOf(exchange);
        seen.push(outcome);
        const more = i + 1 < candidates.length;
        const bareFirst = i === 0 && more && candidate === fqdn(name);
        const ends = bareFirst ? outcome === "found" : this.#endsSearch(outcome);
        if (ends && more) done(outcome, exchange, { steps: log.steps });
        else tryNext(i + 1, exchange);
      });
    };
    if (!isDomainName(name)) done("no such name", nothing, { steps: [], unasked: "no name" });
    else if (this.#options.resolvConf.nameservers.length === 0) {
      done("no server", nothing, { steps: [], unasked: "no server" });
    } else tryNext(0, nothing);
  }

  #queriesOf(name: string, types: readonly string[]): DnsMessage[] {
    const { random, resolvConf } = this.#options;
    const edns = !this.#musl && hasOption(resolvConf, "edns0") ? { udpSize: EDNS_SIZE } : undefined;
    const ids = new Set<number>();
    return types.map((type) => {
      let id = random.below(0x10000);
      while (ids.has(id)) id = (id + 1) % 0x10000;
      ids.add(id);
      return queryOf(id, name, type, edns);
    });
  }

  /** glibc goes on also after NODATA and SERVFAIL; musl after NXDOMAIN alone. */
  #endsSearch(outcome: Outcome): boolean {
    if (this.#musl) return outcome !== "no such name";
    return !["no such name", "no data", "servfail"].includes(outcome);
  }

  /** What a search that found nothing says, glibc res_query.c __res_context_search. */
  #summary(seen: readonly Outcome[]): Outcome {
    if (this.#musl) return seen.at(-1) ?? "no such name";
    if (seen.includes("no data")) return "no data";
    return seen.includes("servfail") ? "servfail" : (seen.at(-1) ?? "no such name");
  }

  #errorOf(outcome: Outcome): GaiError {
    switch (outcome) {
      case "no data":
        return "EAI_NODATA";
      case "servfail":
      case "no answer":
      case "no server":
        return "EAI_AGAIN";
      case "failed":
        return "EAI_FAIL";
      default:
        // Also for a chain of CNAMEs that ends nowhere: there was an answer, and no address in it.
        return this.#musl && outcome === "found" ? "EAI_NODATA" : "EAI_NONAME";
    }
  }
}

const FAMILIES: Readonly<Record<AddressFamilyHint, readonly IpFamily[]>> = {
  AF_UNSPEC: [4, 6],
  AF_INET: [4],
  AF_INET6: [6],
};

function outcomeOf({ answers, failure, servfail }: Exchange): Outcome {
  const there = answers.filter((answer) => answer !== undefined);
  if (there.some(({ rcode, answer }) => rcode === "NOERROR" && answer.length > 0)) return "found";
  if (failure === "refused") return "no server";
  if (there.length === 0) return servfail === true ? "servfail" : "no answer";
  switch (there[0]?.rcode) {
    case "NXDOMAIN":
      return "no such name";
    case "NOERROR":
      return "no data";
    default:
      return "failed";
  }
}

function addressesOf(message: DnsMessage | undefined): IpAddress[] {
  const type = message?.question[0]?.type;
  const records = message?.answer.filter((record) => record.type === type) ?? [];
  return records.map(({ data }) => tryParseIp(data)).filter((address) => address !== undefined);
}

function canonicalNameOf(message: DnsMessage | undefined): string | undefined {
  const type = message?.question[0]?.type;
  return message?.answer.find((record) => record.type === type)?.name;
}
