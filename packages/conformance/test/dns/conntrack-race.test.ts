import type { Cluster } from "@cnilab/cluster";
import type { ProxyMode } from "@cnilab/core";
import {
  type ClashResolution,
  type HookFunction,
  type NetNamespace,
  NF_ACCEPT,
  NF_INET_FORWARD,
  NF_INET_LOCAL_IN,
  NF_QUEUE,
  NFPROTO_IPV4,
  type Skb,
} from "@cnilab/linux";
import { UdpDatagram } from "@cnilab/net";
import { expect, test } from "vitest";
import { type DnsClusterOptions, dnsCluster, lookUp } from "./dns-cluster.ts";

/** So long a question waits on its way through the node: both of a step are tracked before either is confirmed. */
const WAIT_MS = 1;

/** Makes questions that come to a node wait behind tracking and translation, as those of two CPUs may. */
function holdQuestions(netns: NetNamespace): void {
  const { network, netfilter } = netns;
  const hold: HookFunction = {
    name: "NFQUEUE",
    priority: 0,
    run: (skb) => {
      if (!isQuestion(skb)) return NF_ACCEPT;
      network.clock.schedule(WAIT_MS, () => {
        const waiting = netfilter.queued.find((packet) => packet.skb === skb);
        if (waiting !== undefined) netfilter.reinject(waiting);
        network.run();
      });
      return NF_QUEUE;
    },
  };
  for (const hook of [NF_INET_FORWARD, NF_INET_LOCAL_IN] as const) {
    netfilter.register(NFPROTO_IPV4, hook, hold);
  }
}

function isQuestion(skb: Skb): boolean {
  const { payload } = skb.ip;
  return payload instanceof UdpDatagram && payload.dstPort === 53;
}

interface Race {
  readonly lookupMs: number;
  readonly insertFailed: number;
  readonly outcomes: readonly string[];
  readonly lost: readonly string[];
  readonly address: boolean;
}

/** A lookup of one step: A and AAAA go out together, or as the pod's options say. */
function race(clashResolution: ClashResolution, options: DnsClusterOptions): Race {
  const cluster: Cluster = dnsCluster(options);
  const { machine } = cluster.nodes.get("node1") as NonNullable<
    ReturnType<typeof cluster.nodes.get>
  >;
  machine.clashResolution = clashResolution;
  holdQuestions(machine.initNs);
  cluster.forgetConnections();
  const started = cluster.clock.now;
  const found = lookUp(cluster, "client", "web.default.svc.cluster.local.");
  return {
    lookupMs: cluster.clock.now - started,
    insertFailed: machine.initNs.conntrack?.statistics.insertFailed ?? 0,
    outcomes: found.steps.map(({ type, outcome }) => `${type} ${outcome}`),
    lost: found.drops.map(({ reason }) => reason),
    address: found.addresses.length === 1,
  };
}

test.each<ProxyMode>(["iptables", "nftables"])(
  "A and AAAA of one socket race for one entry behind kube-dns: one is lost, and 5 s pass (%s)",
  (proxyMode) => {
    const { lookupMs, ...rest } = race("untranslated", { proxyMode });
    expect(rest).toEqual({
      insertFailed: 1,
      lost: ["CONNTRACK_CLASH"],
      // glibc asks once more, one question after the other.
      outcomes: ["A NOERROR", "AAAA timeout", "A NOERROR", "AAAA NOERROR"],
      address: true,
    });
    expect(lookupMs).toBeGreaterThanOrEqual(5000);
    expect(lookupMs).toBeLessThan(5100);
  },
);

test.each<[string, ClashResolution, DnsClusterOptions]>([
  [
    "single-request-reopen: a socket for each question",
    "untranslated",
    { clientSpec: "dnsConfig: {options: [{name: single-request-reopen}]}" },
  ],
  ["NodeLocal DNSCache: nothing is tracked on the way", "untranslated", { nodeLocal: true }],
  ["NodeLocal DNSCache with nftables", "untranslated", { nodeLocal: true, proxyMode: "nftables" }],
  ["NodeLocal DNSCache with IPVS", "untranslated", { nodeLocal: true, proxyMode: "ipvs" }],
  ["a kernel that lets both live", "insert", {}],
])("no delay with %s", (_, clashResolution, options) => {
  const { lookupMs, ...rest } = race(clashResolution, options);
  expect(rest).toEqual({
    insertFailed: 0,
    lost: [],
    outcomes: ["A NOERROR", "AAAA NOERROR"],
    address: true,
  });
  expect(lookupMs).toBeLessThan(100);
});
