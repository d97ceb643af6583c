import type { KubeObject } from "@cnilab/core";
import { SeededRandom, VirtualClock } from "@cnilab/core";
import { Dummy, Kernel, Network } from "@cnilab/linux";
import { parseIp } from "@cnilab/net";
import { expect, test } from "vitest";
import { service, slice } from "../../test/objects.ts";
import { DEFAULT_CONFIG, type KubeProxyConfig } from "../config.ts";
import { StandAloneKubeProxy } from "../stand-alone.ts";

const WEB: readonly KubeObject[] = [
  service("web", {
    type: "NodePort",
    clusterIP: "10.96.0.10",
    ports: [{ port: 80, nodePort: 30_080 }],
  }),
  slice("web", [{ name: "", port: 8080, protocol: "TCP" }], ["10.244.1.1@n1"]),
];

/** Rules of a node with 192.0.2.1 and 2001:db8::1. */
function rules(
  settings: Partial<KubeProxyConfig>,
  family: 4 | 6,
  sysctls: Readonly<Record<string, number>> = {},
): string[] {
  const { initNs } = new Kernel(new Network(new VirtualClock(), new SeededRandom(1)), "n1");
  initNs.loopback.setUp();
  const eth0 = new Dummy(initNs, { name: "eth0" });
  eth0.setUp();
  eth0.addAddress(parseIp("192.0.2.1"), 24);
  eth0.addAddress(parseIp("2001:db8::1"), 64);
  for (const [path, value] of Object.entries(sysctls)) initNs.sysctl.set(path, value);
  new StandAloneKubeProxy(initNs, "n1", { ...DEFAULT_CONFIG, ...settings }).apply(WEB);
  return initNs.iptables(family).save().split("\n");
}

/** The beginnings of the rules that lead to node ports. */
function nodePortJumps(settings: Partial<KubeProxyConfig>, family: 4 | 6): string[] {
  return rules(settings, family)
    .filter((rule) => rule.startsWith("-A KUBE-SERVICES") && rule.endsWith("-j KUBE-NODEPORTS"))
    .map((rule) => rule.replace(/^-A KUBE-SERVICES (.*?)-m comment.*$/, "$1").trim());
}

// As kube-proxy v1.35.4 wrote them, with these settings, in a namespace with these addresses.
test.each<[string, Partial<KubeProxyConfig>, ipv4: string[], ipv6: string[]]>([
  ["all addresses", {}, [""], ["! -d ::1/128"]],
  ["all but loopback", { localhostNodePorts: false }, ["! -d 127.0.0.0/8"], ["! -d ::1/128"]],
  [
    "those in ranges",
    { nodePortAddresses: ["192.0.2.0/24"] },
    ["-d 192.0.2.1/32"],
    ["! -d ::1/128"],
  ],
  [
    "loopback where it is in a range",
    { nodePortAddresses: ["127.0.0.0/8", "192.0.2.0/24"] },
    ["-d 127.0.0.1/32", "-d 192.0.2.1/32"],
    ["! -d ::1/128"],
  ],
  [
    "loopback in a range, and not wanted",
    { nodePortAddresses: ["127.0.0.0/8", "192.0.2.0/24"], localhostNodePorts: false },
    ["-d 192.0.2.1/32"],
    ["! -d ::1/128"],
  ],
  [
    "IPv6 loopback never",
    { nodePortAddresses: ["::1/128", "2001:db8::/32"] },
    [""],
    ["-d 2001:db8::1/128"],
  ],
])("node ports answer on %s", (_, settings, ipv4, ipv6) => {
  expect(nodePortJumps(settings, 4)).toEqual(ipv4);
  expect(nodePortJumps(settings, 6)).toEqual(ipv6);
});

test.each<[string, Partial<KubeProxyConfig>, counted: boolean]>([
  ["all addresses", {}, true],
  ["ranges of the other family only", { nodePortAddresses: ["2001:db8::/32"] }, true],
  ["a range without loopback", { nodePortAddresses: ["192.0.2.0/24"] }, false],
  ["a part of loopback's range", { nodePortAddresses: ["127.8.0.0/16"] }, true],
])("node ports on 127.0.0.1 are counted with %s: %s", (_, settings, counted) => {
  const own = rules(settings, 4).filter((rule) => rule.includes("localhost_nps_accepted_pkts"));
  expect(own.length > 0).toBe(counted);
});

test.each([
  [0, true],
  [1, false],
])("with nf_conntrack_tcp_be_liberal %i, invalid packets are dropped: %s", (value, dropped) => {
  const sysctls = { "net/netfilter/nf_conntrack_tcp_be_liberal": value };
  const found = rules({}, 4, sysctls).some((rule) => rule.includes("--ctstate INVALID"));
  expect(found).toBe(dropped);
});
