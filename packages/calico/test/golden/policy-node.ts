import { SeededRandom, VirtualClock } from "@cnilab/core";
import { Dummy, Kernel, Network, Skb, Trace } from "@cnilab/linux";
import {
  Data,
  ICMP_ECHO,
  IcmpMessage,
  IPPROTO_ICMP,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  IpPacket,
  parseIp,
  parsePrefix,
  SctpPacket,
  TCP_SYN,
  TcpSegment,
  UdpDatagram,
} from "@cnilab/net";
import type { NodeDataplane } from "../../src/calc/node-policy.ts";
import type { DataplaneInput } from "../../src/felix/dataplane-input.ts";
import { felixConfig } from "../../src/felix/felix-config.ts";
import { wantedIpSets } from "../../src/felix/ip-sets.ts";
import { IptablesDataplane, SharedIptables } from "../../src/felix/iptables-dataplane.ts";
import { NftablesDataplane } from "../../src/felix/nftables-dataplane.ts";
import { TableRenderer } from "../../src/felix/tables.ts";
import { EndpointMarks } from "../../src/rules/endpoint-marks.ts";

/** A packet that begins a connection. */
export interface Flow {
  readonly srcIP: string;
  readonly dstIP: string;
  readonly proto: number;
  readonly sport: number;
  readonly dport: number;
}

export type Verdict = "Allow" | "Deny";

/** What policy says on each side; absent where that side is on no pod of the node. */
export interface FlowVerdict {
  readonly egress?: Verdict;
  readonly ingress?: Verdict;
  readonly allowed: boolean;
}

/** One node with its pods' devices, on which nothing but Felix's policy runs. */
export class PolicyNode {
  readonly network: Network = new Network(new VirtualClock(), new SeededRandom(1));
  readonly #kernel: Kernel = new Kernel(this.network, "node-a");
  readonly #uplink: Dummy;
  /** By address. */
  readonly #pods = new Map<string, Dummy>();

  constructor(policy: NodeDataplane, backend: "iptables" | "nftables") {
    const { initNs } = this.#kernel;
    initNs.loopback.setUp();
    initNs.sysctl.set("net.ipv4.ip_forward", 1);
    this.#uplink = new Dummy(initNs, { name: "eth0" });
    this.#uplink.addAddress(parseIp("172.18.0.2"), 16);
    this.#uplink.setUp();
    initNs.addRoute({ dst: parsePrefix("0.0.0.0/0"), dev: this.#uplink });
    for (const { name, ipv4Nets } of policy.workloads.values()) {
      const dev = new Dummy(initNs, { name });
      dev.setUp();
      for (const net of ipv4Nets) {
        initNs.addRoute({ dst: parsePrefix(net), dev });
        this.#pods.set(net.split("/", 1)[0] as string, dev);
      }
    }
    this.#program(policy, backend);
  }

  #program(policy: NodeDataplane, backend: "iptables" | "nftables"): void {
    const config = felixConfig(
      [],
      { nftablesMode: backend === "nftables" ? "Enabled" : "Disabled" },
      {
        ipvs: false,
        kubeProxyNftables: false,
        encapsulation: { ipip: false, vxlan: false, vxlanV6: false },
      },
    );
    const input: DataplaneInput = {
      config,
      policy,
      pools: [],
      hostAddresses: { 4: [], 6: [] },
      vxlanSources: { 4: { all: [] }, 6: { all: [] } },
      bgp: { serviceClusterCidrs: [], serviceExternalCidrs: [], serviceLoadbalancerCidrs: [] },
      interfaces: new Map([["eth0", ["172.18.0.2"]]]),
      endpointMarks: new EndpointMarks(config.rules.marks.endpoint, 0),
    };
    const tables = new TableRenderer().render(input, 4);
    const sets = wantedIpSets(input, 4);
    const { initNs } = this.#kernel;
    if (backend === "nftables") new NftablesDataplane(initNs, 4).apply(tables, sets);
    else {
      new IptablesDataplane(initNs, 4, new SharedIptables()).apply(tables, sets, config);
    }
  }

  /** Lets a packet find its way; where its own side stops it, another one from outside tells what the other side says. */
  verdict(flow: Flow): FlowVerdict {
    const from = this.#pods.get(flow.srcIP);
    const to = this.#pods.get(flow.dstIP);
    const { passed, reachedIngress } = this.#pass(flow, from ?? this.#uplink);
    const egress = passed || reachedIngress;
    const ingress =
      passed || (!egress && to !== undefined && this.#pass(flow, this.#uplink).passed);
    const word = (yes: boolean): Verdict => (yes ? "Allow" : "Deny");
    return {
      ...(from === undefined ? {} : { egress: word(egress) }),
      ...(to === undefined ? {} : { ingress: word(ingress) }),
      allowed: passed,
    };
  }

  #pass(flow: Flow, from: Dummy): { readonly passed: boolean; readonly reachedIngress: boolean } {
    // Each packet begins a connection of its own.
    this.#kernel.initNs.conntrack?.flush();
    this.network.takeDrops();
    const trace = new Trace();
    this.network.enqueue(from, Skb.ofIp(packetOf(flow), trace));
    this.network.run();
    let passed = false;
    let reachedIngress = false;
    for (const step of trace.steps) {
      if (step.kind === "transmit") passed = true;
      if (step.kind === "rule" && step.rule.text.includes("cali-to-wl-dispatch")) {
        reachedIngress = true;
      }
    }
    return { passed, reachedIngress };
  }
}

function packetOf({ srcIP, dstIP, proto, sport, dport }: Flow): IpPacket {
  const data = new Data(0);
  const of = (payload: ConstructorParameters<typeof IpPacket>[3]) =>
    new IpPacket(parseIp(srcIP), parseIp(dstIP), proto, payload);
  switch (proto) {
    case IPPROTO_TCP:
      return of(new TcpSegment(sport, dport, TCP_SYN, 0, 0, data));
    case IPPROTO_UDP:
      return of(new UdpDatagram(sport, dport, data));
    case IPPROTO_SCTP:
      return of(new SctpPacket(sport, dport, 1, 0));
    case IPPROTO_ICMP:
      return of(IcmpMessage.echo(ICMP_ECHO, 1, 1, data));
    default:
      return of(data);
  }
}
