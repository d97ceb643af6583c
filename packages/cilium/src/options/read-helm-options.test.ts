import { type ClusterConfig, type CniOption, type CniOptionValues, InputError } from "@cnilab/core";
import { parsePrefix } from "@cnilab/net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { HELM_OPTIONS } from "./helm-options.ts";
import { readHelmOptions } from "./read-helm-options.ts";

const cluster: ClusterConfig = {
  clusterCidrs: [parsePrefix("10.244.0.0/16"), parsePrefix("fd00:10:244::/48")],
  nodeCidrMaskSize: { 4: 24, 6: 64 },
  serviceCidrs: [parsePrefix("10.96.0.0/12")],
  ipFamilies: [4, 6],
  proxyMode: "iptables",
  clusterDomain: "cluster.local",
};
const only4: ClusterConfig = { ...cluster, ipFamilies: [4] };
const only6: ClusterConfig = { ...cluster, ipFamilies: [6] };

const DEFAULTS: CniOptionValues = Object.fromEntries(HELM_OPTIONS.map((o) => [o.key, o.default]));

describe("options", () => {
  test.each<{ readonly values: CniOptionValues; readonly config: object }>([
    {
      values: {},
      config: {
        clusterName: "default",
        routing: {
          mode: "tunnel",
          tunnelProtocol: "vxlan",
          tunnelPort: 8472,
          underlay: 4,
          hostLegacy: true,
          nativeCidr: { 4: undefined, 6: undefined },
        },
        services: { kubeProxyReplacement: false, nodePort: false, socketLb: false, mode: "snat" },
        masquerade: { ipv4: true, ipv6: true, bpf: false, nonMasqueradeCidrs: undefined },
        maps: { policy: 16_384, lb: 65_536, ctTcp: 524_288, ctAny: 262_144 },
        policy: { enforcement: "default", identityChangeGraceMs: 5000 },
        wireguard: undefined,
        endpointHealthChecking: true,
      },
    },
    { values: { tunnelProtocol: "geneve" }, config: { routing: { tunnelPort: 6081 } } },
    {
      values: { kubeProxyReplacement: true, "bpf.masquerade": true },
      config: {
        routing: { hostLegacy: false },
        services: { nodePort: true, socketLb: true },
        masquerade: { bpf: true },
      },
    },
    {
      values: { routingMode: "native" },
      config: { routing: { nativeCidr: { 4: parsePrefix("10.244.0.0/16") } } },
    },
    {
      values: { routingMode: "native", ipv4NativeRoutingCIDR: "10.0.0.0/8" },
      config: { routing: { nativeCidr: { 4: parsePrefix("10.0.0.0/8") } } },
    },
    {
      values: { "ipam.operator.clusterPoolIPv4PodCIDRList": "{10.1.0.0/16,10.2.0.0/16}" },
      config: {
        ipam: {
          clusterPool: {
            4: { cidrs: [parsePrefix("10.1.0.0/16"), parsePrefix("10.2.0.0/16")], maskSize: 24 },
          },
        },
      },
    },
    {
      values: { "ipam.multiPoolPreAllocation": "default=16 green=4" },
      config: {
        ipam: {
          preAllocation: new Map([
            ["default", 16],
            ["green", 4],
          ]),
        },
      },
    },
    {
      values: {
        "encryption.enabled": true,
        "encryption.type": "wireguard",
        "encryption.wireguard.persistentKeepalive": "1m30s",
      },
      config: { wireguard: { nodeEncryption: false, persistentKeepalive: 90 } },
    },
    {
      values: { "nodePort.range": "31000,32000", identityChangeGracePeriod: "100ms" },
      config: {
        services: { nodePortRange: { first: 31_000, last: 32_000 } },
        policy: { identityChangeGraceMs: 100 },
      },
    },
  ])("$values", ({ values, config }) => {
    expect(readHelmOptions({ ...DEFAULTS, ...values }, cluster)).toMatchObject(config);
  });

  test.each<{
    readonly values: CniOptionValues;
    readonly error: string;
    readonly of?: ClusterConfig;
  }>([
    {
      values: { autoDirectNodeRoutes: true },
      error: "autoDirectNodeRoutes: cannot be used with tun",
    },
    {
      values: { directRoutingSkipUnreachable: true },
      error: "directRoutingSkipUnreachable: cannot be enabled where autoDirectNodeRoutes is not",
    },
    { values: { underlayProtocol: "ipv6" }, error: "underlayProtocol: is ipv6", of: only4 },
    {
      values: { "ipv4.enabled": true },
      error: "ipv4.enabled: is true, but the cluster has IPv6",
      of: only6,
    },
    { values: { "bpf.masquerade": true }, error: "bpf.masquerade: requires NodePort by eBPF" },
    {
      values: { kubeProxyReplacement: true, "loadBalancer.mode": "dsr" },
      error: "loadBalancer.mode: dsr cannot be used with vxlan tunneling",
    },
    {
      values: {
        kubeProxyReplacement: true,
        "loadBalancer.mode": "hybrid",
        tunnelProtocol: "geneve",
      },
      error: "loadBalancer.dsrDispatch: must be geneve where routingMode is tunnel",
    },
    {
      values: {
        kubeProxyReplacement: true,
        routingMode: "native",
        "loadBalancer.mode": "dsr",
        "loadBalancer.dsrDispatch": "ipip",
      },
      error: "loadBalancer.dsrDispatch: ipip is only available under XDP acceleration",
    },
    {
      values: { "encryption.enabled": true, "encryption.type": "ipsec" },
      error: "IPsec is not modelled",
    },
    {
      values: { "encryption.enabled": true },
      error: "encryption.type: is ipsec unless set, and IPsec is not modelled; choose wireguard",
    },
    {
      values: {
        "encryption.enabled": true,
        "encryption.type": "wireguard",
        "encryption.strictMode.enabled": true,
      },
      error: "encryption.strictMode.cidr: must be set",
    },
    { values: { installNoConntrackIptablesRules: true }, error: "requires routingMode=native" },
    { values: { "maglev.tableSize": 5 }, error: "maglev.tableSize" },
    {
      values: { "bpf.policyMapMax": 100 },
      error: "bpf.policyMapMax: must be from 256 to 65536, not 100",
    },
    {
      values: { "ipam.operator.clusterPoolIPv4PodCIDRList": "10.0.0.0/33" },
      error: '"10.0.0.0/33" is not an IPv4 CIDR',
    },
    {
      values: { "ipam.operator.clusterPoolIPv4MaskSize": 12 },
      error: "a node's range of /12 does not fit",
    },
    {
      values: { "ipam.operator.clusterPoolIPv6PodCIDRList": "fd00::/64" },
      error: "and 2^16 is the most",
    },
    { values: { "ipam.multiPoolPreAllocation": "many" }, error: '"many" is not POOL=COUNT' },
    { values: { "ipam.operator.autoCreateCiliumPodIPPools": "{" }, error: "is no JSON of pools" },
    ...["[]", '{"x":null}', '{"x":{"ipv4":1}}'].map((pools) => ({
      values: { "ipam.operator.autoCreateCiliumPodIPPools": pools },
      error: "is no JSON of pools",
    })),
    {
      values: { "ipam.operator.autoCreateCiliumPodIPPools": '{"x":{"ipv4":{}}}' },
      error: "autoCreateCiliumPodIPPools.x.ipv4: names no cidrs",
    },
    {
      values: {
        "ipam.operator.autoCreateCiliumPodIPPools":
          '{"x":{"ipv4":{"cidrs":["10.0.0.0/8"],"maskSize":"a"}}}',
      },
      error: "maskSize must be a whole number up to 32",
    },
    { values: { "cluster.name": "My_Cluster" }, error: "is no name of a cluster" },
    { values: { "nodePort.range": "1" }, error: "is no range of ports" },
    { values: { identityChangeGracePeriod: "soon" }, error: 'is no duration: "soon"' },
    { values: { policyCIDRMatchMode: "pods" }, error: 'unknown CIDR match mode "pods"' },
  ])("refuses $values", ({ values, error, of = cluster }) => {
    const read = () => readHelmOptions({ ...DEFAULTS, ...values }, of);
    expect(read).toThrow(InputError);
    expect(read).toThrow(error);
  });

  test("of whatever text are read, or refused by a path", () => {
    const text = fc.oneof(
      fc.string(),
      fc.constantFrom(
        "10.0.0.0/8",
        "fd00::/104",
        "default=8",
        "{}",
        '{"x":{"ipv4":1}}',
        "1h",
        "-1",
        "{a,b}",
      ),
    );
    const anyValue = ({ type, values }: CniOption): fc.Arbitrary<string | boolean | number> => {
      if (type === "boolean") return fc.boolean();
      if (type === "integer") return fc.integer();
      return values === undefined ? text : fc.constantFrom(...values);
    };
    const value = fc
      .constantFrom(...HELM_OPTIONS)
      .chain((option) => anyValue(option).map((v) => [option.key, v] as const));
    fc.assert(
      fc.property(fc.array(value, { maxLength: 6 }), (values) => {
        try {
          readHelmOptions({ ...DEFAULTS, ...Object.fromEntries(values) }, cluster);
        } catch (error) {
          expect(error).toBeInstanceOf(InputError);
          expect((error as Error).message).not.toContain("\n");
        }
      }),
      { numRuns: 2000 },
    );
  });

  test("each is told of once, with a word of what it does", () => {
    const keys = HELM_OPTIONS.map(({ key }) => key);
    expect(new Set(keys).size).toBe(keys.length);
    for (const { description } of HELM_OPTIONS) expect(description).not.toBe("");
  });
});
