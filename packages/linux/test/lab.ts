import { SeededRandom, VirtualClock } from "@cnilab/core";
import {
  Data,
  formatIp,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_TCP,
  type IpAddress,
  type Mac,
  parseInterfaceAddress,
  parseIp,
  parsePrefix,
  tryParseMac,
} from "@cnilab/net";
import {
  type Exchange,
  exchange,
  type FibRule,
  Kernel,
  type NetDevice,
  type NetNamespace,
  Network,
  Nic,
  type RouteSpec,
  Segment,
  Skb,
  startEchoServer,
  type Trace,
  Veth,
} from "../src/index.ts";

/** A network to build tests in: machines on one segment, namespaces, cables, and text as `ip` takes it. */
export class Lab {
  readonly clock: VirtualClock = new VirtualClock();
  readonly network: Network;
  readonly segment: Segment;
  #hosts = 0;

  constructor(seed = 1) {
    this.network = new Network(this.clock, new SeededRandom(seed));
    this.segment = new Segment(this.network, "lan", 1500);
  }

  /** A machine with `eth0` on the segment and these addresses. */
  host(name: string, ...addresses: string[]): NetNamespace {
    const { initNs } = new Kernel(this.network, name);
    initNs.loopback.setUp();
    const mac = 0x020000000000 + ++this.#hosts;
    up(new Nic(initNs, { name: "eth0", mac, segment: this.segment }), ...addresses);
    return initNs;
  }

  /** A machine without network, with a namespace for each name and `lo` up in all of them. */
  machine<const N extends readonly string[]>(...names: N): { [K in keyof N]: NetNamespace } {
    const kernel = new Kernel(this.network, `machine${++this.#hosts}`);
    const all = names.map((name) => kernel.addNamespace(name));
    for (const netns of all) netns.loopback.setUp();
    return all as { [K in keyof N]: NetNamespace };
  }
}

/** A cable between two namespaces, its ends named and up: `cable(a, "eth0", b, "veth1")`. */
export function cable(
  a: NetNamespace,
  aName: string,
  b: NetNamespace,
  bName: string,
): [Veth, Veth] {
  const ends = Veth.pair(a, { name: aName }, b, { name: bName });
  for (const end of ends) end.setUp();
  return ends;
}

/** Brings a device up and gives it addresses such as `10.0.0.1/24`. */
export function up<D extends NetDevice>(dev: D, ...addresses: string[]): D {
  dev.setUp();
  for (const text of addresses) {
    const { address, length } = parseInterfaceAddress(text);
    dev.addAddress(address, length);
  }
  return dev;
}

/** Makes a namespace a router of both families. */
export function forwarding(netns: NetNamespace): void {
  netns.sysctl.set("net/ipv4/ip_forward", "1");
  netns.sysctl.set("net/ipv6/conf/all/forwarding", "1");
}

/** The route that `ip route add TEXT` makes. */
export function routeSpec(netns: NetNamespace, text: string): RouteSpec {
  const TYPES = ["unicast", "local", "blackhole", "unreachable", "prohibit", "throw"] as const;
  const words = text.split(" ");
  const type = TYPES.find((name) => name === words[0]);
  if (type !== undefined) words.shift();
  const target = words.shift() as string;
  const dst = target.includes("/") ? target : `${target}/${target.includes(":") ? 128 : 32}`;
  const options: { -readonly [K in keyof RouteSpec]: RouteSpec[K] } = { dst: parsePrefix(dst) };
  if (type !== undefined) options.type = type;
  const legs: { via?: IpAddress; dev?: NetDevice; weight?: number }[] = [];
  while (words.length > 0) {
    const word = words.shift() as string;
    const leg = legs.at(-1) ?? options;
    const value = () => words.shift() as string;
    if (word === "nexthop") legs.push({});
    else if (word === "onlink") options.onlink = true;
    else if (word === "via") leg.via = parseIp(value());
    else if (word === "dev") leg.dev = netns.device(value());
    else if (word === "weight") (leg as { weight?: number }).weight = Number(value());
    else if (word === "src") options.src = parseIp(value());
    else if (["table", "metric", "mtu", "advmss", "tos", "scope"].includes(word)) {
      Object.assign(options, { [word]: Number(value()) });
    } else throw new Error(`ip route: ${word}?`);
  }
  return legs.length > 0 ? { ...options, nexthops: legs } : options;
}

/** `ip route add` for each line. */
export function routes(netns: NetNamespace, ...lines: string[]): void {
  for (const line of lines) netns.addRoute(routeSpec(netns, line));
}

/** `ip rule add TEXT`: `priority 100 from 10.0.0.0/8 fwmark 1/0xff iif eth0 lookup 100 suppress_prefixlength 0`. */
export function rule(netns: NetNamespace, text: string, family: 4 | 6 = 4): void {
  const words = text.split(" ");
  const rest: { -readonly [K in keyof FibRule]?: FibRule[K] } = {};
  while (words.length > 0) {
    const word = words.shift() as string;
    const value = () => words.shift() as string;
    if (word === "priority") rest.priority = Number(value());
    else if (word === "not") rest.not = true;
    else if (word === "from") rest.from = parsePrefix(value());
    else if (word === "to") rest.to = parsePrefix(value());
    else if (word === "iif") rest.iif = value();
    else if (word === "oif") rest.oif = value();
    else if (word === "fwmark") {
      const [mark, mask = "0xffffffff"] = value().split("/");
      rest.fwmark = { value: Number(mark), mask: Number(mask) };
    } else if (word === "dport") {
      const port = Number(value());
      rest.dport = { first: port, last: port };
    } else if (word === "ipproto") rest.ipProtocol = Number(value());
    else if (word === "lookup") rest.action = { table: Number(value()) };
    else if (word === "goto") rest.action = { goto: Number(value()) };
    else if (word === "suppress_prefixlength") rest.suppressPrefixLength = Number(value());
    else if (["blackhole", "unreachable", "prohibit", "nop"].includes(word)) {
      rest.action = { type: word as "blackhole" };
    } else throw new Error(`ip rule: ${word}?`);
  }
  netns.fib(family).addRule(rest as FibRule);
}

/** The routes of a table as `ip route show table TABLE` lists them, without what the kernel adds to each line. */
export function showRoutes(netns: NetNamespace, family: 4 | 6 = 4, table = 254): string[] {
  const lines: string[] = [];
  for (const route of netns.fib(family).findTable(table)?.routes() ?? []) {
    const ways = route.nexthops.map((n) =>
      [
        n.gateway === undefined ? "" : `via ${formatIp(n.gateway)}`,
        n.dev === undefined ? "" : `dev ${n.dev.name}`,
        n.dead ? "dead" : "",
      ]
        .filter((part) => part !== "")
        .join(" "),
    );
    const type = route.type === "unicast" ? "" : `${route.type} `;
    const metric = route.metric === 0 ? "" : ` metric ${route.metric}`;
    lines.push(`${type}${route.prefix} ${ways.join(", ")}${metric}`.trim());
  }
  return lines;
}

interface AskOptions {
  readonly src?: string;
  readonly srcPort?: number;
  readonly waitMs?: number;
  readonly length?: number;
  readonly trace?: Trace;
}

function request(options: AskOptions): { src?: IpAddress; waitMs?: number; trace?: Trace } {
  const { src, ...rest } = options;
  return src === undefined ? rest : { ...rest, src: parseIp(src) };
}

/** What `ping` sees. */
export function ping(netns: NetNamespace, to: string, options: AskOptions = {}): Exchange {
  const dst = parseIp(to);
  const protocol = typeof dst === "number" ? IPPROTO_ICMP : IPPROTO_ICMPV6;
  return exchange(netns, { protocol, dst, port: 0, ...request(options) });
}

/** What a program sees that connects to a port: TCP unless said otherwise. */
export function connect(
  netns: NetNamespace,
  to: string,
  port: number,
  options: AskOptions & { readonly protocol?: number } = {},
): Exchange {
  const { protocol = IPPROTO_TCP, ...rest } = options;
  return exchange(netns, { protocol, dst: parseIp(to), port, ...request(rest) });
}

/** Answers on a port. */
export function serve(netns: NetNamespace, port: number, protocol: number = IPPROTO_TCP): void {
  startEchoServer(netns, { protocol, port, owner: "server" });
}

/** An outcome in a few words: `connected`, or why not and where the packet ended. */
export function outcome(result: Exchange): string {
  const { outcome: what, error, drops } = result;
  if (what === "connected") return what;
  const where = drops.map(
    ({ reason, netns }) => `${reason} in ${netns.name || netns.kernel.hostname}`,
  );
  return [what, error?.errno ?? "", ...where].filter((part) => part !== "").join(", ");
}

export function mac(text: string): Mac {
  return tryParseMac(text) as Mac;
}

/** EtherType "local experimental 1" (IEEE 802): frames that no protocol takes. */
const ETH_P_802_EX1 = 0x88b5;

/** Sends a frame of no protocol out of a device. */
export function sendFrame(dev: NetDevice, src: Mac, dst: Mac, length = 50): void {
  const skb = new Skb(ETH_P_802_EX1, new Data(length), undefined);
  skb.srcMac = src;
  skb.dstMac = dst;
  dev.queueTransmit(skb);
  dev.network.run();
}

/** Notes the names of the devices that frames arrive at, and swallows the frames. */
export function listenForFrames(...devices: NetDevice[]): { heard: () => string[] } {
  let heard: string[] = [];
  for (const dev of devices) {
    dev.receiveHandler = {
      handle: () => {
        heard.push(dev.name);
        return true;
      },
    };
  }
  return {
    heard: () => {
      const until = heard.sort();
      heard = [];
      return until;
    },
  };
}
