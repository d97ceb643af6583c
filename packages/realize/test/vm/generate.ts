import { SeededRandom } from "@cnilab/core";
import { addressIn, type Flow, prefixOf, type Step } from "../fuzz/topology.ts";
import { FAMILIES, type TunnelKind } from "../fuzz/tunnels.ts";

/** What a topology is about: a kind of tunnel, SCTP through filters and NAT, or virtual servers. */
export type Subject = TunnelKind | "sctp" | "ipvs";

export const SUBJECTS: readonly Subject[] = ["ipip", "sit", "geneve", "wireguard", "sctp", "ipvs"];

/** A small network with its subject in the middle, and flows through it; the same for the same seed. */
export function generate(subject: Subject, seed: number, flows: number): Step[] {
  return new Generator(subject, seed).steps(flows);
}

/** Percent of topologies in which the first router translates. */
const NAT_CHANCE: Readonly<Record<Subject, number>> = {
  ipip: 25,
  sit: 25,
  geneve: 25,
  wireguard: 25,
  sctp: 70,
  ipvs: 0,
};

const SCHEDULERS = ["rr", "rr", "wrr", "lc", "wlc", "sed", "nq", "sh", "dh", "mh", "fo"];

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
  /** Whether the director sends packets on as they are. */
  #direct = false;

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
    if (isTunnel(this.#subject)) this.#tunnel(this.#subject);
    if (this.#subject === "ipvs") this.#virtualServers();
    this.#overlay();
    for (let n = this.#below(4); n > 0; n--) this.#filter();
    if (this.#chance(NAT_CHANCE[this.#subject])) this.#nat();
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
      const carried = isTunnel(this.#subject) && FAMILIES[this.#subject].includes(family);
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
      ipvs: "-m ipvs --vdir REPLY",
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

  /**
   * A director, r1 or r3, with services at an address of its own; r3 may also send to its neighbours directly,
   * who have the address too.
   */
  #virtualServers(): void {
    const director = this.#pick(["r1", "r3"]);
    this.#direct = director === "r3" && this.#chance(30);
    if (this.#chance(50)) this.#set(director, "net/ipv4/vs/conntrack", 1);
    for (const family of [4, 6] as const) {
      const length = family === 4 ? 32 : 128;
      const address = `${service(family)}/${length}`;
      const bridge = director === "r1" ? `br${CLIENTS}` : `br${SERVERS}`;
      this.#steps.push({ do: "address", netns: director, dev: bridge, address });
      if (director === "r3") {
        this.#route("r1", address, addressIn(family, WAN1, 2));
        this.#route("r2", address, addressIn(family, WAN2, 2));
      }
      for (const netns of this.#direct ? ["s1", "s2"] : []) {
        this.#steps.push({ do: "address", netns, dev: "lo", address });
      }
      for (const protocol of ["-t", "-u", "--sctp-service"]) {
        this.#virtualServer(director, family, protocol);
      }
      if (!this.#direct && this.#chance(40)) {
        const rule = `-d ${prefixOf(family, SERVERS)} -j MASQUERADE`;
        const nat = { do: "iptables", netns: director, family, table: "nat" } as const;
        this.#steps.push({ ...nat, chain: "POSTROUTING", rule });
      }
    }
  }

  #virtualServer(director: string, family: 4 | 6, protocol: string): void {
    const ipvs = (line: string): void => {
      this.#steps.push({ do: "ipvs", netns: director, line });
    };
    const port = protocol === "-u" ? 53 : 80;
    const name = `${protocol} ${endpoint(service(family), this.#servicePort(port))}`;
    const scheduler = this.#pick(SCHEDULERS);
    const persistent = this.#chance(20) ? " -p 300" : "";
    ipvs(`-A ${name} -s ${scheduler}${persistent}`);
    for (const host of [2, 3, ...(this.#chance(15) ? [9] : [])]) {
      if (this.#chance(10)) continue;
      const real = endpoint(addressIn(family, SERVERS, host), this.#chance(10) ? 99 : port);
      ipvs(`-a ${name} -r ${real} ${this.#direct ? "-g" : "-m"} -w ${this.#pick([1, 1, 2, 3, 0])}`);
    }
  }

  /** Who sends packets on as they are cannot choose another port. */
  #servicePort(port: number): number {
    return this.#direct ? port : 90;
  }

  #virtualFlow(family: 4 | 6): Flow {
    const netns = this.#pick(["c1", "c1", "c2", "c2", "r1", "r2", "r3", "s1"]);
    const protocol = this.#pick(["tcp", "tcp", "udp", "sctp", "icmp"] as const);
    const length = protocol === "udp" ? this.#pick([64, 64, 1400, 1472, 3000]) : 64;
    const port = this.#servicePort(protocol === "udp" ? 53 : 80);
    const dstPort = protocol === "icmp" ? 0 : this.#chance(95) ? port : 91;
    return { netns, protocol, dst: service(family), dstPort, length };
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
    if (this.#subject === "ipvs" && this.#chance(85)) return this.#virtualFlow(family);
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
    const both = isTunnel(this.#subject) ? FAMILIES[this.#subject] : ([4, 4, 6] as const);
    return this.#chance(90) ? this.#pick(both) : this.#pick([4, 6] as const);
  }
}

function isTunnel(subject: Subject): subject is TunnelKind {
  return Object.hasOwn(FAMILIES, subject);
}

function endpoint(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** An address that nobody has but the director of virtual servers: else it is translated, or routed to nowhere. */
function service(family: 4 | 6): string {
  return addressIn(family, 200, 1);
}
