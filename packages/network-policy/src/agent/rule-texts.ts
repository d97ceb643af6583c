import { formatIp, type IpFamily, type Prefix } from "@cnilab/net";
import { forEachBit } from "../analyse/bits.ts";
import type { EndpointClasses } from "../analyse/endpoint-classes.ts";
import type { IpProtocol } from "../policy/ip-protocol.ts";
import type {
  BlockTerm,
  Direction,
  NamedPortTerm,
  PeerTerm,
  PortTerm,
  Rule,
} from "../policy/policy.ts";
import type { PolicyEndpoint } from "../policy/policy-endpoint.ts";
import { rangeText } from "../policy/range-text.ts";
import { nameHash } from "./names.ts";
import type { ContentSet } from "./table-content.ts";

/** Writes rules' matches in nft's words, and the sets that they name. */
export class RuleTexts {
  readonly sets: Map<string, ContentSet> = new Map();
  readonly #family: IpFamily;
  readonly #classes: EndpointClasses;
  readonly #endpoints: readonly PolicyEndpoint[];
  readonly #ip: "ip" | "ip6";
  readonly #addressType: string;

  constructor(family: IpFamily, classes: EndpointClasses, endpoints: readonly PolicyEndpoint[]) {
    this.#family = family;
    this.#classes = classes;
    this.#endpoints = endpoints;
    this.#ip = family === 4 ? "ip" : "ip6";
    this.#addressType = `ipv${family}_addr`;
  }

  /** The matches of a rule in one family, each followed by the verdict; none where it fits nothing of the family. */
  matches(rule: Rule, direction: Direction): readonly string[] {
    const field = direction === "egress" ? "daddr" : "saddr";
    const version = `meta nfproto ${this.#family === 4 ? "ipv4" : "ipv6"}`;
    const peers = rule.peers?.flatMap((term) => this.#peer(term, field)) ?? [version];
    const ports = rule.ports === undefined ? [""] : this.#ports(rule.ports);
    return peers.flatMap((peer) => ports.map((port) => `${peer}${port === "" ? "" : ` ${port}`}`));
  }

  #peer(term: PeerTerm, field: "saddr" | "daddr"): readonly string[] {
    switch (term.kind) {
      case "pods":
      case "nodes":
        return [`${this.#ip} ${field} @${this.#addressSet(term)}`];
      case "block":
        return this.#block(term, field);
      case "domain":
        return [];
      default:
        throw new Error(`no kind of policy that the agent enforces has ${term.kind} terms`);
    }
  }

  #block({ cidrs, except }: BlockTerm, field: "saddr" | "daddr"): readonly string[] {
    return cidrs
      .filter((cidr) => cidr.family === this.#family)
      .flatMap((cidr) => this.#range(cidr, except, field));
  }

  #range(cidr: Prefix, except: readonly Prefix[], field: "saddr" | "daddr"): readonly string[] {
    const address = `${this.#ip} ${field}`;
    // nft has no match for all addresses; every packet of the family has one.
    const inside =
      cidr.length === 0
        ? `meta nfproto ${this.#family === 4 ? "ipv4" : "ipv6"}`
        : `${address} ${cidr}`;
    const holes = except.filter((hole) => hole.family === this.#family);
    if (holes.some((hole) => hole.covers(cidr))) return [];
    if (holes.length === 0) return [inside];
    return [`${inside} ${address} != { ${distinctPrefixes(holes).join(", ")} }`];
  }

  #addressSet(term: PeerTerm): string {
    const name = `${term.kind}-ip${this.#family}-${nameHash(JSON.stringify(term))}`;
    if (!this.sets.has(name)) {
      const elements = new Map<string, undefined>();
      forEachBit(this.#classes.admittedBy(term), (each) => {
        for (const member of this.#classes.classes[each]?.members ?? []) {
          elements.set(this.#addressOf(member), undefined);
        }
      });
      this.sets.set(name, { type: `type ${this.#addressType}`, isMap: false, elements });
    }
    return name;
  }

  #addressOf(endpoint: number): string {
    return formatIp((this.#endpoints[endpoint] as PolicyEndpoint).address);
  }

  #ports(terms: readonly PortTerm[]): readonly string[] {
    const texts: string[] = [];
    const ranges = new Map<IpProtocol, Set<string>>();
    for (const term of terms) {
      if ("portName" in term) texts.push(this.#named(term));
      else {
        const of = ranges.get(term.protocol) ?? new Set();
        ranges.set(term.protocol, of.add(rangeText(term.first, term.last)));
      }
    }
    for (const [protocol, of] of ranges) {
      const word = `${protocol}`.toLowerCase();
      if (of.has(ANY_PORT)) texts.push(`meta l4proto ${word}`);
      else
        texts.push(
          `${word} dport ${of.size === 1 ? [...of][0] : `{ ${joined([...of]).join(", ")} }`}`,
        );
    }
    return texts;
  }

  /** A named port is the destination's, whoever is asked. */
  #named({ portName, protocol }: NamedPortTerm): string {
    const name = `port-ip${this.#family}-${nameHash(`${portName} ${protocol ?? ""}`)}`;
    if (!this.sets.has(name)) {
      const elements = new Map<string, undefined>();
      for (const { ports = [], address } of this.#endpoints) {
        for (const port of ports) {
          if (port.name !== portName || (protocol ?? port.protocol) !== port.protocol) continue;
          const word = `${port.protocol}`.toLowerCase();
          elements.set(`${formatIp(address)} . ${word} . ${port.port}`, undefined);
        }
      }
      const type = `type ${this.#addressType} . inet_proto . inet_service`;
      this.sets.set(name, { type, isMap: false, elements });
    }
    return `${this.#ip} daddr . meta l4proto . th dport @${name}`;
  }
}

const ANY_PORT = "1-65535";

/** nft refuses ranges that overlap in one set: those that do become one. */
function joined(ranges: readonly string[]): readonly string[] {
  const sorted = ranges
    .map((text) => text.split("-").map(Number) as [number, number?])
    .map(([first, last = first]): [number, number] => [first, last])
    .sort(([x], [y]) => x - y);
  const apart: [number, number][] = [];
  for (const [first, last] of sorted) {
    const before = apart.at(-1);
    if (before !== undefined && first <= before[1]) before[1] = Math.max(before[1], last);
    else apart.push([first, last]);
  }
  return apart.map(([first, last]) => rangeText(first, last));
}

/** Without those inside of others, for the same reason. */
function distinctPrefixes(prefixes: readonly Prefix[]): readonly Prefix[] {
  return prefixes.filter(
    (each, i) =>
      !prefixes.some((other, j) => i !== j && other.covers(each) && (!each.covers(other) || j < i)),
  );
}
