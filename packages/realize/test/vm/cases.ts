import { addressIn, type Flow, prefixOf, type Step } from "../fuzz/topology.ts";
import { FAMILIES, type TunnelKind } from "../fuzz/tunnels.ts";
import type { Subject } from "./generate.ts";

/** A network made by hand: what each kind is for. */
export interface Case {
  readonly subject: Subject;
  readonly steps: readonly Step[];
}

/** Subnet numbers. */
const CLIENT = 1;
const WAN = 2;
const SERVERS = 3;
const TUNNEL = 4;
/** The subnet of services' addresses. */
const SERVICES = 200;

const BOTH = [4, 6] as const;

/** c, then r1, then r2 with s1, s2 and s3 behind it; everybody knows the way to everybody. */
function routed(overlay: readonly (4 | 6)[] = []): Step[] {
  const steps: Step[] = ["c", "r1", "r2", "s1", "s2", "s3"].map((netns) => ({
    do: "namespace",
    netns,
  }));
  steps.push(
    { do: "cable", a: "r1", b: "c", subnet: CLIENT, mtu: 1500 },
    { do: "cable", a: "r1", b: "r2", subnet: WAN, mtu: 1500 },
    { do: "lan", netns: "r2", members: ["s1", "s2", "s3"], subnet: SERVERS, mtu: 1500 },
  );
  for (const netns of ["r1", "r2"]) {
    steps.push(
      { do: "sysctl", netns, path: "net/ipv4/ip_forward", value: 1 },
      { do: "sysctl", netns, path: "net/ipv6/conf/all/forwarding", value: 1 },
    );
  }
  for (const family of BOTH) {
    const everything = family === 4 ? "0.0.0.0/0" : "::/0";
    steps.push({ do: "route", netns: "c", dst: everything, via: addressIn(family, CLIENT, 1) });
    for (const netns of ["s1", "s2", "s3"]) {
      steps.push({ do: "route", netns, dst: everything, via: addressIn(family, SERVERS, 1) });
    }
    if (overlay.includes(family)) continue;
    steps.push(...between(family, WAN));
  }
  return steps;
}

/** The routers' ways to each other's hosts. */
function between(family: 4 | 6, subnet: number): Step[] {
  return [
    { do: "route", netns: "r1", dst: prefixOf(family, SERVERS), via: addressIn(family, subnet, 2) },
    { do: "route", netns: "r2", dst: prefixOf(family, CLIENT), via: addressIn(family, subnet, 1) },
  ];
}

function flow(protocol: Flow["protocol"], dst: string, dstPort: number, length = 64): Step {
  return { do: "flow", flow: { netns: "c", protocol, dst, dstPort, length } };
}

/** Each protocol to a server, long packets, and ports that nobody listens on. */
function flowsTo(dst: string): Step[] {
  return [
    flow("tcp", dst, 80),
    flow("sctp", dst, 80),
    flow("udp", dst, 53),
    flow("udp", dst, 53, 1472),
    flow("udp", dst, 53, 4000),
    flow("icmp", dst, 0),
    flow("icmp", dst, 0, 4000),
    flow("tcp", dst, 99),
    flow("sctp", dst, 99),
    flow("udp", dst, 99),
  ];
}

function tunnel(kind: TunnelKind, outer: 4 | 6): Case {
  const families = FAMILIES[kind];
  const everything = ["0.0.0.0/0", "::/0"];
  return {
    subject: kind,
    steps: [
      ...routed(families),
      {
        do: "tunnel",
        kind,
        ends: ["r1", "r2"],
        local: [addressIn(outer, WAN, 1), addressIn(outer, WAN, 2)],
        subnet: TUNNEL,
        ...(kind === "wireguard" ? { allowed: [everything, everything] } : {}),
      },
      ...families.flatMap((family) => between(family, TUNNEL)),
      ...families.flatMap((family) => flowsTo(addressIn(family, SERVERS, 2))),
    ],
  };
}

/** SCTP to a service's address and from behind a router's, and what a filter makes of its chunks. */
function sctp(family: 4 | 6): Case {
  const service = addressIn(family, SERVICES, 1);
  const server = addressIn(family, SERVERS, 2);
  const to = family === 4 ? `${server}:80` : `[${server}]:80`;
  const iptables = (table: string, chain: string, rule: string): Step => ({
    do: "iptables",
    netns: "r1",
    family,
    table,
    chain,
    rule,
  });
  return {
    subject: "sctp",
    steps: [
      ...routed(),
      iptables("nat", "PREROUTING", `-d ${service} -p sctp -j DNAT --to-destination ${to}`),
      iptables("nat", "POSTROUTING", `-p sctp -j MASQUERADE`),
      iptables("filter", "FORWARD", "-p sctp --dport 81 --chunk-types any INIT -j DROP"),
      iptables("filter", "FORWARD", "-p sctp --dport 82 -j REJECT"),
      iptables("filter", "FORWARD", "-m conntrack --ctstate INVALID -j DROP"),
      flow("sctp", service, 90),
      flow("sctp", server, 80),
      flow("sctp", server, 81),
      flow("sctp", server, 82),
      flow("sctp", server, 99),
      flow("sctp", addressIn(family, SERVERS, 9), 80),
    ],
  };
}

/** Twelve connections in turn to three servers with weights 1, 2 and 3, by way of r1. */
function scheduler(name: string, family: 4 | 6): Case {
  const service = addressIn(family, SERVICES, 1);
  const end = (address: string, port: number): string =>
    family === 4 ? `${address}:${port}` : `[${address}]:${port}`;
  const ipvs = (line: string): Step => ({ do: "ipvs", netns: "r1", line });
  return {
    subject: "ipvs",
    steps: [
      ...routed(),
      {
        do: "address",
        netns: "r1",
        dev: `e${CLIENT}`,
        address: `${service}/${family === 4 ? 32 : 128}`,
      },
      ipvs(`-A -t ${end(service, 90)} -s ${name}`),
      ...[1, 2, 3].map((n) =>
        ipvs(
          `-a -t ${end(service, 90)} -r ${end(addressIn(family, SERVERS, n + 1), 80)} -m -w ${n}`,
        ),
      ),
      ...Array.from({ length: 12 }, () => flow("tcp", service, 90)),
    ],
  };
}

const SCHEDULERS = ["rr", "wrr", "lc", "wlc", "sed", "nq", "sh", "dh", "mh", "fo"];

export const CASES: readonly Case[] = [
  tunnel("ipip", 4),
  tunnel("sit", 4),
  tunnel("geneve", 4),
  tunnel("geneve", 6),
  tunnel("wireguard", 4),
  tunnel("wireguard", 6),
  sctp(4),
  sctp(6),
  ...SCHEDULERS.map((name) => scheduler(name, 4)),
  scheduler("rr", 6),
  scheduler("mh", 6),
];
