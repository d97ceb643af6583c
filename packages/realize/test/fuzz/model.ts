import { release as osRelease } from "node:os";
import { SeededRandom, VirtualClock } from "@cnilab/core";
import {
  Bridge,
  type ExchangeOutcome,
  exchange,
  type FibRule,
  IpsetError,
  IptablesError,
  IpvsadmError,
  Kernel,
  KernelError,
  Macvlan,
  Message,
  type NetNamespace,
  Network,
  NftablesError,
  PingSocket,
  type RouteSpec,
  ServerReport,
  type SocketError,
  startEchoServer,
  UdpSocket,
  Veth,
  Vxlan,
} from "@cnilab/linux";
import {
  familyOf,
  formatIp,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  type IpAddress,
  isLinkLocal,
  isLoopback,
  parseInterfaceAddress,
  parseIp,
  parsePrefix,
} from "@cnilab/net";
import { type Counter, countersOf, freezeNeighbours, listingsOf } from "./counters.ts";
import { framesOf, type SentFrame, send } from "./frames.ts";
import { nftTracingHere } from "./nft-tracing.ts";
import { ServiceNodes } from "./services.ts";
import { addressIn, type Flow, lengthOf, type Step, type Verdict } from "./topology.ts";
import { addTunnel } from "./tunnels.ts";

const BUILTIN_CHAINS = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];

const TCP_PORT = 80;
const UDP_PORT = 53;
/** How long both sides wait for an answer: an address that nobody has is given up after 3 s. */
const WAIT_MS = 4500;
/** Less than the first time that TCP sends again. */
const SOON_MS = 500;
/** The first source port; each flow has one of its own. */
export const FIRST_PORT = 20_000;

const REFUSALS = [KernelError, IpvsadmError, IptablesError, IpsetError, NftablesError];

/** At once; by a timer, as where nobody has an address; not while somebody waited. */
export type FlowEnd = "soon" | "late" | "never";

/** The steps done to a machine of the model. */
export class Model {
  readonly network: Network;
  readonly kernel: Kernel;
  readonly flows: Flow[] = [];
  readonly #serviceNodes: ServiceNodes = new ServiceNodes();
  /** What is sent by hand, in order. */
  readonly frames: SentFrame[] = [];
  readonly #byHand: boolean;
  /** Steps that the model refuses, as the kernel would: they are not part of the case. */
  readonly refused: { readonly step: Step; readonly reason: string }[] = [];
  readonly waitMs: number;
  #verdicts: Verdict[] | undefined;
  readonly #took: number[] = [];

  /**
   * @param seed of the machine's randomness; addresses of devices come from it, too
   * @param release of the kernel that it is compared with; without, of this machine's
   */
  constructor(
    steps: readonly Step[],
    waitMs: number = WAIT_MS,
    seed = 1,
    release: string = osRelease(),
  ) {
    this.waitMs = waitMs;
    this.network = new Network(new VirtualClock(), new SeededRandom(seed));
    this.kernel = new Kernel(this.network, "m");
    this.kernel.resetsHaveOwner = isAtLeast(release, 6, 13);
    if (release === osRelease()) this.kernel.nftTracing = nftTracingHere();
    this.kernel.initNs.loopback.setUp();
    this.#byHand = steps.some((step) => step.do === "frame");
    for (const step of steps) {
      try {
        this.#do(step);
      } catch (error) {
        if (!REFUSALS.some((kind) => error instanceof kind)) throw error;
        this.refused.push({ step, reason: (error as Error).message });
      }
    }
  }

  #netns(name: string): NetNamespace {
    const found = this.kernel.findNamespace(name);
    if (found === undefined) throw new KernelError("ENOENT", `netns ${name}`);
    return found;
  }

  #do(step: Step): void {
    switch (step.do) {
      case "namespace":
        this.#namespace(step.netns);
        return;
      case "cable": {
        const dev = `e${step.subnet}`;
        this.#cable(step, [step.a, dev], [step.b, dev]);
        this.#number(step.a, dev, step.subnet, 1);
        this.#number(step.b, dev, step.subnet, 2);
        return;
      }
      case "lan":
        this.#lan(step);
        return;
      case "vxlan":
        this.#vxlan(step);
        return;
      case "mtu":
        this.#netns(step.netns).device(step.dev).setMtu(step.mtu);
        return;
      case "address": {
        const { address, length } = parseInterfaceAddress(step.address);
        this.#netns(step.netns).device(step.dev).addAddress(address, length);
        return;
      }
      case "route":
        this.#route(step);
        return;
      case "rule":
        this.#netns(step.netns)
          .fib(step.family)
          .addRule({
            ...step.rule,
            ...(step.from === undefined ? {} : { from: parsePrefix(step.from) }),
            ...(step.to === undefined ? {} : { to: parsePrefix(step.to) }),
          } as FibRule);
        return;
      case "sysctl":
        this.#netns(step.netns).sysctl.set(step.path, step.value);
        return;
      case "hairpin":
      case "isolated": {
        const bridge = this.#netns(step.netns).device(step.bridge) as Bridge;
        const port = [...bridge.ports].reverse()[step.port];
        if (port !== undefined) port[step.do] = true;
        return;
      }
      case "iptables": {
        const iptables = this.#netns(step.netns).iptables(step.family);
        const { table, chain, rule } = step;
        if (!BUILTIN_CHAINS.includes(chain) && !iptables.hasChain(table, chain)) {
          iptables.newChain(table, chain);
        }
        iptables.append(table, chain, rule);
        return;
      }
      case "ipset":
        this.#netns(step.netns).ipsets.restore(step.text);
        return;
      case "nftables":
        this.#netns(step.netns).nftables.apply(step.text);
        return;
      case "macvlan":
        this.#macvlan(step);
        return;
      case "proxy": {
        const netns = this.#netns(step.netns);
        netns.neighboursOf(netns.device(step.dev)).addProxy(parseIp(step.address));
        return;
      }
      case "service": {
        const netns = this.#netns(step.netns);
        const own = netns.devices.flatMap((dev) => dev.addresses).map(({ address }) => address);
        const isPrimary = (ip: IpAddress): boolean => !isLoopback(ip) && !isLinkLocal(ip);
        const primary = ([4, 6] as const).flatMap(
          (f) => own.find((ip) => familyOf(ip) === f && isPrimary(ip)) ?? [],
        );
        this.#serviceNodes.add(netns, step, primary.map(formatIp));
        return;
      }
      case "frame":
        this.frames.push(...framesOf(this.kernel, step));
        return;
      case "ipvs":
        this.#netns(step.netns).ipvs.command(step.line);
        return;
      case "tunnel":
        addTunnel(this.kernel, step);
        return;
      case "flow":
        this.#flow(step.flow);
        return;
    }
  }

  #flow(flow: Flow): void {
    const netns = this.#netns(flow.netns);
    if (flow.src !== undefined && flow.spoofed !== true && !netns.hasAddress(parseIp(flow.src))) {
      throw new KernelError("EADDRNOTAVAIL", flow.src); // as bind(2) says
    }
    this.flows.push(flow);
  }

  #namespace(name: string): void {
    const netns = this.kernel.addNamespace(name);
    netns.loopback.setUp();
    for (const conf of ["all", "default"]) {
      netns.sysctl.set(`net/ipv4/conf/${conf}/send_redirects`, 0);
    }
    netns.sysctl.set("net/ipv4/icmp_ratelimit", 0);
    netns.sysctl.set("net/ipv4/icmp_ratemask", 0);
    netns.sysctl.set("net/ipv4/tcp_invalid_ratelimit", 0);
    netns.sysctl.set("net/ipv4/ping_group_range", "0 2147483647");
    // The model's TCP has no option but MSS; rules that ask how long packets are see the others.
    for (const option of ["sack", "timestamps", "window_scaling"]) {
      netns.sysctl.set(`net/ipv4/tcp_${option}`, 0);
    }
    // Nobody answers SYN-ACKs to frames that were sent by hand: how often they come again would hang on time.
    if (this.#byHand) netns.sysctl.set("net/ipv4/tcp_synack_retries", 0);
  }

  #cable(step: { readonly mtu: number }, a: [string, string], b: [string, string]): [Veth, Veth] {
    const pair = Veth.pair(this.#netns(a[0]), { name: a[1], mtu: step.mtu }, this.#netns(b[0]), {
      name: b[1],
      mtu: step.mtu,
    });
    for (const end of pair) end.setUp();
    return pair;
  }

  #number(netns: string, dev: string, subnet: number, host: number): void {
    for (const family of [4, 6] as const) {
      const address = parseIp(addressIn(family, subnet, host));
      this.#netns(netns).device(dev).addAddress(address, lengthOf(family));
    }
  }

  #lan(step: Step & { do: "lan" }): void {
    const bridge = new Bridge(this.#netns(step.netns), { name: `br${step.subnet}` });
    for (const [i, member] of step.members.entries()) {
      if (this.kernel.findNamespace(member) === undefined) continue;
      const port = `p${step.subnet}-${i}`;
      const [end] = this.#cable(step, [step.netns, port], [member, `e${step.subnet}`]);
      end.setMaster(bridge);
      this.#number(member, `e${step.subnet}`, step.subnet, 2 + i);
    }
    bridge.setUp();
    this.#number(step.netns, bridge.name, step.subnet, 1);
  }

  #vxlan({ ends, local, subnet }: Step & { do: "vxlan" }): void {
    for (const i of [0, 1] as const) {
      const netns = this.#netns(ends[i]);
      const here = parseIp(local[i]);
      const there = parseIp(local[1 - i] as string);
      const name = `vx${subnet}`;
      const link = netns.deviceWithAddress(here);
      const common = { name, vni: subnet, local: here, remote: there, port: 8472 };
      new Vxlan(netns, link === undefined ? common : { ...common, link }).setUp();
      this.#number(ends[i], name, subnet, 1 + i);
    }
  }

  #macvlan({ owner, lower, netns, subnet, host, mode }: Step & { do: "macvlan" }): void {
    const below = this.#netns(owner).device(lower);
    const name = `e${subnet}`;
    const macvlan = new Macvlan(this.#netns(owner), { name: `m${subnet}`, lower: below, mode });
    macvlan.moveTo(this.#netns(netns), name);
    macvlan.setUp();
    this.#number(netns, name, subnet, host);
  }

  #route(step: Step & { do: "route" }): void {
    const netns = this.#netns(step.netns);
    const { do: _, netns: _name, dst, via, dev, src, nexthops, ...rest } = step;
    // A prefix as people write it may have host bits, which `ip route` clears.
    const { address, length } = parseInterfaceAddress(dst);
    const spec: RouteSpec = {
      ...rest,
      dst: parsePrefix(`${formatIp(address)}/${length}`),
      ...(via === undefined ? {} : { via: parseIp(via) }),
      ...(dev === undefined ? {} : { dev: netns.device(dev) }),
      ...(src === undefined ? {} : { src: parseIp(src) }),
      ...(nexthops === undefined
        ? {}
        : { nexthops: nexthops.map((n) => ({ via: parseIp(n.via), weight: n.weight })) }),
    };
    netns.addRoute(spec);
  }

  /** What rules have counted once the frames were sent, one every `gapMs`. */
  counters(gapMs: number, settleMs: number): Counter[] {
    freezeNeighbours(this.kernel);
    for (const netns of this.kernel.namespaces) {
      this.#serve(netns);
      // iptables-save tells of all builtin chains, and to load what it says makes those that were not there.
      for (const family of [4, 6] as const) {
        const iptables = netns.findIptables(family);
        iptables?.restore(iptables.save());
      }
    }
    for (const frame of this.frames) {
      send(frame);
      this.network.clock.runUntil(this.network.clock.now + gapMs);
    }
    this.network.clock.runUntil(this.network.clock.now + settleMs);
    return listingsOf(this.kernel).flatMap(countersOf);
  }

  /** What becomes of each flow, one after the other. */
  verdicts(): Verdict[] {
    this.#verdicts ??= this.#runAll();
    return this.#verdicts;
  }

  /** When a flow has come to its end. */
  endOf(flow: number): FlowEnd {
    this.verdicts();
    const took = this.#took[flow] as number;
    if (took < SOON_MS) return "soon";
    return took < this.waitMs ? "late" : "never";
  }

  #runAll(): Verdict[] {
    for (const netns of this.kernel.namespaces) this.#serve(netns);
    const { clock } = this.network;
    return this.flows.map((flow, i) => {
      const begun = clock.now;
      const verdict = this.#run(flow, FIRST_PORT + i, i);
      this.#took.push(clock.now - begun);
      return verdict;
    });
  }

  #serve(netns: NetNamespace): void {
    for (const protocol of [IPPROTO_TCP, IPPROTO_SCTP]) {
      startEchoServer(netns, {
        protocol,
        port: TCP_PORT,
        owner: "server",
        onRequest: (report) => {
          if (!this.seen.has(this.#underWay)) this.seen.set(this.#underWay, report);
        },
      });
    }
    new UdpSocket(netns, {
      localPort: UDP_PORT,
      owner: "server",
      onReceive: ({ payload, src, srcPort, dst, dstPort, skb }, socket) => {
        const request = payload instanceof Message ? payload.message : undefined;
        const { ttl } = skb.ip;
        const report = new ServerReport(netns, "server", [dst, dstPort], [src, srcPort], ttl);
        if (typeof request === "number") this.seen.set(request, report);
        // Two servers would answer each other for ever.
        if (srcPort === UDP_PORT) return;
        socket.sendTo(src, srcPort, new Message(payload.length, report), { src: dst });
      },
    });
  }

  /** Whom the servers saw, by number of the flow. */
  readonly seen: Map<number, ServerReport> = new Map();
  #underWay = -1;

  #run(flow: Flow, port: number, number: number): Verdict {
    this.#underWay = number;
    const verdict = this.#attemptFlow(flow, port, number);
    const report = this.seen.get(number);
    return report === undefined ? verdict : { ...verdict, ...seenText(report) };
  }

  #attemptFlow(flow: Flow, port: number, number: number): Verdict {
    const netns = this.#netns(flow.netns);
    const dst = parseIp(flow.dst);
    const src = flow.src === undefined ? undefined : parseIp(flow.src);
    if (flow.protocol === "tcp" || flow.protocol === "sctp") {
      const protocol = flow.protocol === "tcp" ? IPPROTO_TCP : IPPROTO_SCTP;
      const request = { protocol, dst, port: flow.dstPort, src, srcPort: port };
      const result = exchange(netns, { ...request, ttl: flow.ttl, waitMs: this.waitMs });
      const { outcome, error } = result;
      return {
        outcome,
        errno: outcome === "connected" || outcome === "stalled" ? undefined : error?.errno,
      };
    }
    return flow.protocol === "udp" ? this.#udp(netns, flow, port, number) : this.#ping(netns, flow);
  }

  #udp(netns: NetNamespace, flow: Flow, port: number, number: number): Verdict {
    const dst = parseIp(flow.dst);
    let answered = false;
    let error: SocketError | undefined;
    const socket = new UdpSocket(netns, {
      ...(flow.src === undefined ? {} : { localAddress: parseIp(flow.src) }),
      transparent: flow.spoofed === true,
      localPort: port,
      remoteAddress: dst,
      remotePort: flow.dstPort,
      owner: "client",
      onReceive: () => {
        answered = true;
      },
      onError: (e) => {
        error ??= e;
      },
    });
    const send = (): SocketError | undefined =>
      socket.sendTo(dst, flow.dstPort, new Message(flow.length, number), {
        ...(flow.ttl === undefined ? {} : { ttl: flow.ttl }),
      });
    const result = this.#attempt(
      send,
      () => answered,
      () => error,
      () => {
        error = undefined;
      },
    );
    socket.close();
    return result;
  }

  #ping(netns: NetNamespace, flow: Flow): Verdict {
    let replyFrom: string | undefined;
    let error: SocketError | undefined;
    const socket = new PingSocket(netns, "ping");
    socket.onReply = (from) => {
      replyFrom ??= formatIp(from);
    };
    socket.onError = (e) => {
      error ??= e;
    };
    const send = (): SocketError | undefined =>
      socket.send(parseIp(flow.dst), flow.length, {
        ...(flow.ttl === undefined ? {} : { ttl: flow.ttl }),
        ...(flow.src === undefined ? {} : { src: parseIp(flow.src) }),
      });
    const result = this.#attempt(
      send,
      () => replyFrom !== undefined,
      () => error,
      () => {
        error = undefined;
      },
    );
    socket.close();
    return replyFrom === undefined ? result : { ...result, from: replyFrom };
  }

  /** Sends, waits, and sends once more where the path turned out to be narrower. */
  #attempt(
    send: () => SocketError | undefined,
    answered: () => boolean,
    failed: () => SocketError | undefined,
    forget: () => void,
  ): Verdict {
    let failure = send();
    const { clock } = this.network;
    const until = clock.now + this.waitMs;
    const wait = (): void => {
      while (!answered() && failed() === undefined && clock.step(until)) {
        // Until something happened.
      }
    };
    if (failure === undefined) wait();
    if (failure === undefined && !answered() && failed()?.errno === "EMSGSIZE") {
      forget();
      failure = send();
      if (failure === undefined) wait();
    }
    if (clock.now < until && !answered() && failed() === undefined) clock.runUntil(until);
    if (answered()) return { outcome: "connected" };
    const error = failure ?? failed();
    const from = error?.from === undefined ? {} : { from: formatIp(error.from) };
    return { outcome: outcomeOf(error?.errno), errno: error?.errno, ...from };
  }
}

function seenText({ seenAddress, seenTtl, netns }: ServerReport): Pick<Verdict, "seen" | "ttl"> {
  return { seen: `${formatIp(seenAddress)} at ${netns.name}`, ttl: seenTtl };
}

/** Whether a kernel's release, as `uname -r` tells it, is this one or later. */
function isAtLeast(release: string, major: number, minor: number): boolean {
  const [x = 0, y = 0] = release.split(".").map((part) => Number.parseInt(part, 10));
  return x > major || (x === major && y >= minor);
}

/** As `exchange` tells them apart. */
export function outcomeOf(errno: string | undefined): ExchangeOutcome {
  if (errno === undefined || errno === "ETIMEDOUT") return "timeout";
  return errno === "ECONNREFUSED" || errno === "ECONNRESET" ? "refused" : "unreachable";
}
