import { type CniOptionValues, InputError, IPAM, NODE, OVERLAY, POLICY } from "@cnilab/core";
import { parsePrefix } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { flannel } from "./flannel.ts";
import { netConfFor } from "./model-options.ts";

const config = {
  clusterCidrs: [parsePrefix("10.244.0.0/16"), parsePrefix("fd00:10:244::/56")],
  nodeCidrMaskSize: { 4: 24, 6: 64 } as const,
  serviceCidrs: [parsePrefix("10.96.0.0/12")],
  ipFamilies: [4, 6] as const,
  proxyMode: "iptables" as const,
  clusterDomain: "cluster.local",
};

describe("options", () => {
  test.each<{ options: CniOptionValues; conf: object }>([
    {
      options: {},
      conf: { backend: { type: "vxlan", vni: 1 }, enableNFTables: false, enableIPv6: true },
    },
    {
      options: { backend: "host-gw", nftables: true },
      conf: { backend: { type: "host-gw" }, enableNFTables: true },
    },
    {
      options: { backend: "vxlan", vni: 7, port: 4789, mtu: 9000, directRouting: true },
      conf: { backend: { vni: 7, port: 4789, mtu: 9000, directRouting: true } },
    },
    {
      options: { backend: "wireguard", mode: "auto", persistentKeepalive: 25 },
      conf: { backend: { mode: "auto", persistentKeepaliveInterval: 25 } },
    },
  ])("$options", ({ options, conf }) => {
    expect(netConfFor(config, options)).toMatchObject(conf);
  });

  test.each<{ options: CniOptionValues; error: string }>([
    { options: { backend: "geneve" }, error: 'there is no backend "geneve"' },
    {
      options: { backend: "host-gw", vni: 3 },
      error: 'option "vni" is for the backend vxlan, not for host-gw',
    },
    { options: { vni: 2 ** 24 }, error: '"Backend.VNI" must be an integer from 0 to 16777215' },
    { options: { port: 70_000 }, error: '"Backend.Port" must be an integer' },
  ])("refuses $options", ({ options, error }) => {
    expect(() => netConfFor(config, options)).toThrow(InputError);
    expect(() => netConfFor(config, options)).toThrow(error);
  });

  test.each(["udp", "ipip"])("%s needs IPv4", (backend) => {
    expect(() => netConfFor({ ...config, ipFamilies: [6] }, { backend })).toThrow(
      `Flannel's backend ${backend} needs IPv4`,
    );
  });

  test("every option has a description, and the backend a default", () => {
    for (const option of flannel.options) expect(option.description).not.toBe("");
    expect(flannel.options.find((o) => o.key === "backend")?.default).toBe("vxlan");
  });
});

test("brings no policy engine, no IPAM and no proxy", () => {
  const registered: unknown[] = [];
  const container = { register: (token: unknown) => registered.push(token) };
  flannel.register(container as never, {}, config);
  expect(registered).toContain(OVERLAY);
  for (const token of [POLICY, IPAM, NODE]) expect(registered).not.toContain(token);
});
