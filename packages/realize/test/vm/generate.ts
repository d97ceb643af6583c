import { SeededRandom } from "@cnilab/core";
import { addressIn, type Flow, prefixOf, type Step } from "../fuzz/topology.ts";
import { FAMILIES, type TunnelKind } from "../fuzz/tunnels.ts";

/** What a topology is about: a kind of tunnel, or SCTP through filters and NAT. */
export type Subject = TunnelKind | "sctp";

export const SUBJECTS: readonly Subject[] = ["ipip", "sit", "geneve", "wireguard", "sctp"];

/** A small network with its subject in the middle, and flows through it; the same for the same seed. */
export function generate(subject: Subject, seed: number, flows: number): Step[] {
  return new Generator(subject, seed).steps(flows);
}

/** Subnet numbers. */
const CLIENTS = 1;
const WAN1 = 2;
const WAN2 = 3;
const SERVERS = 4;
const TUNNEL = 5;

/**
 * c1, c2 behind r1, then r2, then r3 with s1, s2 behind it: the tunnel, where there is one, leads from r1 to r3
 * by way of r2, so that its packets are routed, filtered and too long where the network wants it.
 */
class Generator {
  readonly #subject: Subject;
  readonly #random: SeededRandom;
  readonly #steps: Step[] = [];

  constructor(subject: Subject, seed: number) {
    this.#subject = subject;
    this.#random = new SeededRandom(seed, `vm ${subject}`);
  }

  steps(flows: number): Step[] {
    for (const netns of ["c1", "c2", "r1", "r2", "r3", "s1", "s2"]) {
      this.#steps.push({ do: "namespace", netns });
    }
    this.#steps.push(
      { do: "lan", netns: "r1", members: ["c1", "c2"], subnet: CLIENTS, mtu: 1500 },
      { do: "cable", a: "r1", b: "r2", subnet: WAN1, mtu: this.#mtu() },
      { do: "cable", a: "r2", b: "r3", subnet: WAN2, mtu: this.#mtu() },
      { do: "lan", netns: "r3", members: ["s1", "s2"], subnet: SERVERS, mtu: 1500 },
    );
    for (const netns of ["r1", "r2", "r3"]) {
      this.#set(netns, "net/ipv4/ip_forward", 1);
      this.#set(netns, "net/ipv6/conf/all/forwarding", 1);
    }
    for (const family of [4, 6] as const) this.#underlay(family);
    if (this.#subject !== "sctp") this.#tunnel(this.#subject);
    this.#overlay();
    for (let n = this.#below(4); n > 0; n--) this.#filter();
    if (this.#chance(this.#subject === "sctp" ? 70 : 25)) this.#nat();
    for (let i = 0; i < flows; i++) this.#steps.push({ do: "flow", flow: this.#flow() });
    return this.#steps;
  }

  #below(n: number): number {
    return this.#random.below(n);
  }

  #chance(percent: number): boolean {
    return this.#below(100) < percent;
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#below(list.length)] as T;
  }

  #mtu(): number {
    return this.#pick([1500, 1500, 1450, 1400, 1300]);
  }

  #set(netns: string, path: string, value: number): void {
    this.#steps.push({ do: "sysctl", netns, path, value });
  }

  #route(netns: string, dst: string, via: string): void {
    this.#steps.push({ do: "route", netns, dst, via });
  }

  /** The ends of the tunnel know each other; hosts send everything to their router. */
  #underlay(family: 4 | 6): void {
    const everything = family === 4 ? "0.0.0.0/0" : "::/0";
    for (const netns of ["c1", "c2"]) this.#route(netns, everything, addressIn(family, CLIENTS, 1));
    for (const netns of ["s1", "s2"]) this.#route(netns, everything, addressIn(family, SERVERS, 1));
    this.#route("r1", prefixOf(family, WAN2), addressIn(family, WAN1, 2));
    this.#route("r3", prefixOf(family, WAN1), addressIn(family, WAN2, 1));
  }

  #tunnel(kind: TunnelKind): void {
    const outer = kind === "ipip" || kind === "sit" || this.#chance(60) ? 4 : 6;
    const mtu = this.#chance(30) ? { mtu: this.#pick([1500, 1400, 1280]) } : {};
    const ttl = this.#chance(40) ? { ttl: this.#pick([1, 2, 64]) } : {};
    this.#steps.push({
      do: "tunnel",
      kind,
      ends: ["r1", "r3"],
      local: [addressIn(outer, WAN1, 1), addressIn(outer, WAN2, 2)],
      subnet: TUNNEL,
      ...mtu,
      ...(kind === "wireguard"
        ? { allowed: [this.#allowed(SERVERS), this.#allowed(CLIENTS)] }
        : ttl),
    });
  }

  /** Everything, what is behind the other end, only half of that, or nothing of one family. */
  #allowed(subnet: number): string[] {
    switch (this.#below(5)) {
      case 0:
        return ["0.0.0.0/0", "::/0"];
      case 1:
        return [`${addressIn(4, subnet, 2)}/32`, `${addressIn(6, subnet, 2)}/128`];
      case 2:
        return [prefixOf(this.#pick([4, 6] as const), subnet)];
      default:
        return [prefixOf(4, subnet), prefixOf(6, subnet)];
    }
  }

  /** How the subnets of hosts are reached: through the tunnel if it carries them, else by r2. */
  #overlay(): void {
    for (const family of [4, 6] as const) {
      if (this.#chance(5)) continue;
      const carried = this.#subject !== "sctp" && FAMILIES[this.#subject].includes(family);
      const inside = carried && !this.#chance(5);
      const [there, back] = inside
        ? [addressIn(family, TUNNEL, 2), addressIn(family, TUNNEL, 1)]
        : [addressIn(family, WAN1, 2), addressIn(family, WAN2, 1)];
      this.#route("r1", prefixOf(family, SERVERS), there);
      this.#route("r3", prefixOf(family, CLIENTS), back);
      this.#route("r2", prefixOf(family, SERVERS), addressIn(family, WAN2, 2));
      this.#route("r2", prefixOf(family, CLIENTS), addressIn(family, WAN1, 1));
    }
  }

  #filter(): void {
    const family = this.#pick([4, 4, 6] as const);
    const netns = this.#pick(["r1", "r2", "r3", "s1"]);
    const chain = netns === "s1" ? "INPUT" : this.#pick(["FORWARD", "INPUT", "OUTPUT"]);
    const reject = family === 4 ? "icmp-host-prohibited" : "icmp6-adm-prohibited";
    const target = this.#pick([
      "DROP",
      "DROP",
      "REJECT",
      `REJECT --reject-with ${reject}`,
      "ACCEPT",
    ]);
    const rule = `${this.#match(family)} -j ${target}`.trim();
    this.#steps.push({ do: "iptables", netns, family, table: "filter", chain, rule });
  }

  #match(family: 4 | 6): string {
    const tunnel: Readonly<Record<Subject, string>> = {
      ipip: "-p 4",
      sit: "-p 41",
      geneve: "-p udp --dport 6081",
      wireguard: `-p udp --dport ${51820 + TUNNEL}`,
      sctp: "-p sctp --chunk-types any INIT",
    };
    return this.#pick([
      tunnel[this.#subject],
      "-p sctp --dport 80",
      "-p udp --dport 53",
      "-p tcp --dport 80",
      `-s ${addressIn(family, CLIENTS, 2)}`,
      `-d ${addressIn(family, SERVERS, 3)}`,
      "-m conntrack --ctstate INVALID",
      "-m conntrack --ctstate NEW -p sctp",
      "-m conntrack --ctstate ESTABLISHED -p sctp",
    ]);
  }

  /** A service address in front of a server, or the clients behind their router's address. */
  #nat(): void {
    for (const family of [4, 6] as const) {
      const nat = { do: "iptables", netns: "r1", family, table: "nat" } as const;
      if (this.#chance(60)) {
        const to = addressIn(family, SERVERS, 2);
        const target = `DNAT --to-destination ${family === 4 ? to : `[${to}]`}:80`;
        for (const protocol of ["tcp", "sctp"]) {
          const rule = `-d ${service(family)} -p ${protocol} --dport 90 -j ${target}`;
          this.#steps.push({ ...nat, chain: "PREROUTING", rule });
        }
      }
      if (this.#chance(60)) {
        const rule = `-s ${prefixOf(family, CLIENTS)} -j MASQUERADE`;
        this.#steps.push({ ...nat, chain: "POSTROUTING", rule });
      }
    }
  }

  #flow(): Flow {
    const family = this.#family();
    const protocols =
      this.#subject === "sctp"
        ? (["sctp", "sctp", "sctp", "icmp"] as const)
        : (["tcp", "udp", "udp", "icmp", "sctp"] as const);
    const protocol = this.#pick(protocols);
    const backwards = this.#chance(15);
    const netns = backwards ? this.#pick(["s1", "s2", "r3"]) : this.#pick(["c1", "c2", "r1"]);
    const isService = !backwards && this.#chance(25) && (protocol === "sctp" || protocol === "tcp");
    if (isService) {
      return { netns, protocol, dst: service(family), dstPort: 90, length: 64 };
    }
    const dst = this.#chance(15)
      ? addressIn(family, this.#pick([WAN2, TUNNEL]), 2)
      : addressIn(family, backwards ? CLIENTS : SERVERS, this.#pick([2, 2, 3, 3, 9]));
    const ttl = protocol !== "sctp" && this.#chance(15) ? { ttl: this.#pick([1, 2, 3, 4]) } : {};
    const open = protocol === "udp" ? 53 : 80;
    const dstPort = protocol === "icmp" ? 0 : this.#chance(85) ? open : 99;
    const lengths =
      protocol === "sctp" || protocol === "tcp" ? [64] : [64, 64, 1230, 1400, 1472, 4000];
    return { netns, protocol, dst, dstPort, length: this.#pick(lengths), ...ttl };
  }

  #family(): 4 | 6 {
    const both = this.#subject === "sctp" ? ([4, 4, 6] as const) : FAMILIES[this.#subject];
    return this.#chance(90) ? this.#pick(both) : this.#pick([4, 6] as const);
  }
}

/** An address that nobody has: it is translated, or routed to nowhere. */
function service(family: 4 | 6): string {
  return addressIn(family, 200, 1);
}
