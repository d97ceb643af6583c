import { SeededRandom } from "@cnilab/core";
import { addressIn, type Flow, prefixOf, type Step } from "./topology.ts";

/** A place where a namespace is attached: it is `host` of a subnet. */
interface Attachment {
  readonly netns: string;
  readonly subnet: number;
  readonly host: number;
  readonly dev: string;
}

/** A random small network and flows through it, the same for the same seed. */
export function generate(seed: number, flows: number): Step[] {
  return new Generator(seed).steps(flows);
}

class Generator {
  readonly #random: SeededRandom;
  readonly #steps: Step[] = [];
  readonly #attached: Attachment[] = [];
  readonly #routers: string[] = [];
  readonly #hosts: string[] = [];
  #subnets = 0;

  constructor(seed: number) {
    this.#random = new SeededRandom(seed, "fuzz");
  }

  steps(flows: number): Step[] {
    this.#backbone();
    this.#edges();
    for (const netns of [...this.#routers, ...this.#hosts]) this.#routes(netns);
    for (const netns of this.#routers) this.#forwarding(netns);
    this.#some(2, () => this.#oddRoute());
    this.#some(2, () => this.#policy());
    this.#some(4, () => this.#sysctl());
    this.#some(6, () => this.#filter());
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

  #some(most: number, make: () => void): void {
    for (let n = this.#below(most + 1); n > 0; n--) make();
  }

  #family(): 4 | 6 {
    return this.#chance(35) ? 6 : 4;
  }

  #mtu(): number {
    return this.#pick([1500, 1500, 1500, 1450, 1400, 1280]);
  }

  #namespace(netns: string): string {
    this.#steps.push({ do: "namespace", netns });
    return netns;
  }

  #attach(netns: string, subnet: number, host: number, dev: string): void {
    this.#attached.push({ netns, subnet, host, dev });
  }

  #cable(a: string, b: string): void {
    const subnet = ++this.#subnets;
    this.#steps.push({ do: "cable", a, b, subnet, mtu: this.#mtu() });
    this.#attach(a, subnet, 1, `e${subnet}`);
    this.#attach(b, subnet, 2, `e${subnet}`);
  }

  /** One to three routers in a chain, sometimes a ring, sometimes with a tunnel between the ends. */
  #backbone(): void {
    const count = 1 + this.#below(3);
    for (let i = 1; i <= count; i++) {
      const router = this.#namespace(`r${i}`);
      this.#routers.push(router);
      if (i > 1) this.#cable(`r${i - 1}`, router);
    }
    if (count === 3 && this.#chance(40)) this.#cable("r1", "r3");
    if (count > 1 && this.#chance(40)) this.#vxlan();
  }

  #vxlan(): void {
    const [x, y] = [this.#attached[0] as Attachment, this.#attached[1] as Attachment];
    const family = this.#family();
    const subnet = ++this.#subnets;
    this.#steps.push({
      do: "vxlan",
      ends: [x.netns, y.netns],
      local: [addressIn(family, x.subnet, x.host), addressIn(family, y.subnet, y.host)],
      subnet,
    });
    this.#attach(x.netns, subnet, 1, `vx${subnet}`);
    this.#attach(y.netns, subnet, 2, `vx${subnet}`);
  }

  #edges(): void {
    for (const router of this.#routers) {
      const members = Array.from({ length: 1 + this.#below(2) }, () => this.#host());
      if (this.#chance(50)) {
        for (const member of members) this.#cable(router, member);
        continue;
      }
      const subnet = ++this.#subnets;
      this.#steps.push({ do: "lan", netns: router, members, subnet, mtu: this.#mtu() });
      this.#attach(router, subnet, 1, `br${subnet}`);
      for (const [i, member] of members.entries())
        this.#attach(member, subnet, 2 + i, `e${subnet}`);
    }
  }

  #host(): string {
    const name = this.#namespace(`h${this.#hosts.length + 1}`);
    this.#hosts.push(name);
    return name;
  }

  /** Routes to every subnet, by the fewest hops; some are missing or wrong. */
  #routes(netns: string): void {
    const isHost = this.#hosts.includes(netns);
    for (const family of [4, 6] as const) {
      if (isHost) {
        const own = this.#attached.find((a) => a.netns === netns) as Attachment;
        const dst = family === 4 ? "0.0.0.0/0" : "::/0";
        this.#route(netns, family, dst, addressIn(family, own.subnet, 1));
        continue;
      }
      for (let subnet = 1; subnet <= this.#subnets; subnet++) {
        const next = this.#nextHop(netns, subnet);
        if (next === undefined) continue;
        this.#route(
          netns,
          family,
          prefixOf(family, subnet),
          addressIn(family, next.subnet, next.host),
        );
      }
    }
  }

  #route(netns: string, family: 4 | 6, dst: string, via: string): void {
    const luck = this.#below(100);
    if (luck < 3) return;
    if (luck < 7) {
      const type = this.#pick(["blackhole", "unreachable", "prohibit", "throw"] as const);
      this.#steps.push({ do: "route", netns, dst, type });
      return;
    }
    if (luck < 9) {
      // Somebody who is not there.
      const own = this.#attached.find((a) => a.netns === netns) as Attachment;
      this.#steps.push({ do: "route", netns, dst, via: addressIn(family, own.subnet, 99) });
      return;
    }
    const mtu = this.#chance(6) ? { mtu: 1300 } : {};
    this.#steps.push({ do: "route", netns, dst, via, ...mtu });
  }

  /** The neighbour that is next on the way from a router to a subnet; `undefined` when it is attached. */
  #nextHop(from: string, subnet: number): Attachment | undefined {
    const queue: { readonly netns: string; readonly first: Attachment | undefined }[] = [
      { netns: from, first: undefined },
    ];
    const seen = new Set([from]);
    for (let at = queue.shift(); at !== undefined; at = queue.shift()) {
      const { netns, first } = at;
      if (this.#attached.some((a) => a.netns === netns && a.subnet === subnet)) return first;
      for (const own of this.#attached.filter((a) => a.netns === netns)) {
        for (const other of this.#attached) {
          if (other.subnet !== own.subnet || seen.has(other.netns)) continue;
          if (!this.#routers.includes(other.netns)) continue;
          seen.add(other.netns);
          queue.push({ netns: other.netns, first: first ?? other });
        }
      }
    }
    return undefined;
  }

  #forwarding(netns: string): void {
    if (!this.#chance(4)) this.#set(netns, "net/ipv4/ip_forward", 1);
    if (!this.#chance(4)) this.#set(netns, "net/ipv6/conf/all/forwarding", 1);
  }

  #set(netns: string, path: string, value: number): void {
    this.#steps.push({ do: "sysctl", netns, path, value });
  }

  #oddRoute(): void {
    const netns = this.#pick(this.#routers);
    const family = this.#family();
    const target = this.#pick(this.#attached);
    const address = addressIn(family, target.subnet, target.host);
    const length = this.#pick(family === 4 ? [32, 30, 26, 16] : [128, 120, 60, 48]);
    const dst = `${address}/${length}`;
    const type = this.#pick(["blackhole", "unreachable", "prohibit", "unicast"] as const);
    const gateway = this.#neighbourOf(netns);
    if (type !== "unicast" || gateway === undefined) {
      this.#steps.push({ do: "route", netns, dst, type: type === "unicast" ? "throw" : type });
      return;
    }
    const via = addressIn(family, gateway.subnet, gateway.host);
    this.#steps.push({ do: "route", netns, dst, via, metric: this.#pick([0, 5, 2000]) });
  }

  #neighbourOf(netns: string): Attachment | undefined {
    const subnets = this.#attached.filter((a) => a.netns === netns).map((a) => a.subnet);
    const others = this.#attached.filter((a) => a.netns !== netns && subnets.includes(a.subnet));
    return others.length === 0 ? undefined : this.#pick(others);
  }

  /** A rule, a table that it leads to, and where it is by mark a rule that marks. */
  #policy(): void {
    const netns = this.#pick([...this.#routers, ...this.#hosts]);
    const family = this.#family();
    const table = 100 + this.#below(2);
    const subject = this.#pick(this.#attached);
    const gateway = this.#neighbourOf(netns);
    const everything = family === 4 ? "0.0.0.0/0" : "::/0";
    const dst = this.#chance(50) ? everything : prefixOf(family, subject.subnet);
    if (gateway !== undefined && this.#chance(60)) {
      const via = addressIn(family, gateway.subnet, gateway.host);
      this.#steps.push({ do: "route", netns, dst, via, table });
    } else {
      const type = this.#pick(["blackhole", "unreachable", "prohibit", "throw"] as const);
      this.#steps.push({ do: "route", netns, dst, type, table });
    }
    const priority = 100 + this.#below(50);
    const action = this.#chance(85)
      ? { table }
      : { type: this.#pick(["blackhole", "unreachable", "prohibit"] as const) };
    const prefix = prefixOf(family, subject.subnet);
    switch (this.#below(4)) {
      case 0:
        this.#steps.push({ do: "rule", netns, family, from: prefix, rule: { priority, action } });
        return;
      case 1:
        this.#steps.push({ do: "rule", netns, family, to: prefix, rule: { priority, action } });
        return;
      case 2: {
        const iif = this.#pick(this.#attached.filter((a) => a.netns === netns)).dev;
        this.#steps.push({ do: "rule", netns, family, rule: { priority, iif, action } });
        return;
      }
      default: {
        const value = 1 + this.#below(3);
        const fwmark = { value, mask: this.#pick([0xffffffff, value]) };
        this.#steps.push({ do: "rule", netns, family, rule: { priority, fwmark, action } });
        const chain = this.#pick(["PREROUTING", "OUTPUT"]);
        const rule = `${this.#match(family)} -j MARK --set-xmark 0x${value.toString(16)}/0x${value.toString(16)}`;
        this.#steps.push({
          do: "iptables",
          netns,
          family,
          table: "mangle",
          chain,
          rule: rule.trim(),
        });
      }
    }
  }

  #sysctl(): void {
    const netns = this.#pick([...this.#routers, ...this.#hosts]);
    const dev = this.#pick([
      "all",
      this.#pick(this.#attached.filter((a) => a.netns === netns)).dev,
    ]);
    const [path, value] = this.#pick([
      [`net/ipv4/conf/${dev}/rp_filter`, 1],
      [`net/ipv4/conf/${dev}/rp_filter`, 2],
      [`net/ipv4/conf/${dev}/accept_local`, 1],
      [`net/ipv4/conf/${dev}/route_localnet`, 1],
      [`net/ipv4/conf/${dev}/arp_ignore`, 1],
      [`net/ipv4/conf/${dev}/arp_announce`, 2],
      [`net/ipv4/conf/${dev}/src_valid_mark`, 1],
      [`net/ipv4/conf/${dev}/proxy_arp`, 1],
      ["net/ipv4/ip_default_ttl", 5],
      ["net/ipv4/icmp_echo_ignore_all", 1],
      ["net/ipv4/icmp_errors_use_inbound_ifaddr", 1],
      ["net/ipv4/ip_forward_use_pmtu", 1],
      ["net/ipv4/fwmark_reflect", 1],
      ["net/bridge/bridge-nf-call-iptables", 0],
      ["net/ipv4/ip_no_pmtu_disc", 0],
    ] as const);
    this.#set(netns, path, value);
  }

  /** What a rule looks at. */
  #match(family: 4 | 6): string {
    const target = this.#pick(this.#attached);
    const address = addressIn(family, target.subnet, target.host);
    const prefix = prefixOf(family, target.subnet);
    const icmp = family === 4 ? "icmp" : "ipv6-icmp";
    return this.#pick([
      `-s ${prefix}`,
      `-d ${prefix}`,
      `-d ${address}`,
      `-s ${address} -p tcp -m tcp --dport 80`,
      "-p udp -m udp --dport 53",
      "-p tcp -m tcp --dport 80",
      "-p tcp -m tcp --dport 8080",
      `-p ${icmp}`,
      `! -s ${prefix} -p udp`,
      "-m conntrack --ctstate NEW",
      "-m conntrack --ctstate RELATED,ESTABLISHED",
      "-m conntrack --ctstate INVALID",
      "-m addrtype --dst-type LOCAL",
      "-m mark --mark 0x1/0x1",
    ]);
  }

  #filter(): void {
    const family = this.#family();
    const netns = this.#pick([...this.#routers, ...this.#routers, ...this.#hosts]);
    const match = this.#match(family);
    const add = (table: string, chain: string, rule: string): void => {
      this.#steps.push({ do: "iptables", netns, family, table, chain, rule });
    };
    const target = this.#pick(this.#attached);
    const address = addressIn(family, target.subnet, target.host);
    switch (this.#below(8)) {
      case 0:
        add("filter", this.#pick(["FORWARD", "INPUT", "OUTPUT"]), `${match} -j DROP`);
        return;
      case 1:
        add(
          "filter",
          this.#pick(["FORWARD", "INPUT", "OUTPUT"]),
          `${match} -j REJECT${this.#rejectWith(family)}`,
        );
        return;
      case 2:
        add("filter", this.#pick(["FORWARD", "FORWARD", "INPUT"]), `${match} -j ACCEPT`);
        return;
      case 3:
        add("nat", "POSTROUTING", `${match} -j MASQUERADE`);
        return;
      case 4:
      case 5: {
        const chain = this.#pick(["PREROUTING", "OUTPUT"]);
        const vip = family === 4 ? "10.96.0.1" : "fd00:96::1";
        const [protocol, port, to] = this.#pick([
          ["tcp", 8080, 80],
          ["udp", 5353, 53],
          ["tcp", 80, 80],
        ] as const);
        const end = family === 4 ? `${address}:${to}` : `[${address}]:${to}`;
        add(
          "nat",
          chain,
          `-d ${vip} -p ${protocol} -m ${protocol} --dport ${port} -j DNAT --to-destination ${end}`,
        );
        return;
      }
      case 6:
        add("nat", "PREROUTING", "-p tcp -m tcp --dport 8080 -j REDIRECT --to-ports 80");
        return;
      default: {
        const own = this.#pick(this.#attached.filter((a) => a.netns === netns));
        add(
          "nat",
          "POSTROUTING",
          `${match} -j SNAT --to-source ${addressIn(family, own.subnet, own.host)}`,
        );
      }
    }
  }

  #rejectWith(family: 4 | 6): string {
    return this.#pick(
      family === 4
        ? ["", "", " --reject-with icmp-host-prohibited", " --reject-with icmp-net-unreachable"]
        : ["", "", " --reject-with icmp6-adm-prohibited", " --reject-with icmp6-no-route"],
    );
  }

  #flow(): Flow {
    const netns = this.#pick(this.#chance(75) ? this.#hosts : this.#routers);
    const family = this.#family();
    const protocol = this.#pick(["tcp", "tcp", "udp", "udp", "icmp"] as const);
    const ports = { tcp: [80, 80, 80, 81, 8080], udp: [53, 53, 53, 54, 5353], icmp: [0] };
    const own = this.#attached.filter((a) => a.netns === netns);
    const from = this.#pick(own);
    return {
      netns,
      protocol,
      dst: this.#destination(family),
      dstPort: this.#pick(ports[protocol]),
      length: protocol === "tcp" ? 0 : this.#pick([64, 64, 64, 1300, 1440, 2000, 4000]),
      ...(this.#chance(15) ? { src: addressIn(family, from.subnet, from.host) } : {}),
      ...(protocol !== "tcp" && this.#chance(20) ? { ttl: 1 + this.#below(4) } : {}),
    };
  }

  #destination(family: 4 | 6): string {
    const luck = this.#below(100);
    if (luck < 15) return family === 4 ? "10.96.0.1" : "fd00:96::1";
    if (luck < 20) return addressIn(family, 1 + this.#below(this.#subnets), 77);
    if (luck < 23) return family === 4 ? "203.0.113.9" : "2001:db8::9";
    const target = this.#pick(this.#attached);
    return addressIn(family, target.subnet, target.host);
  }
}
