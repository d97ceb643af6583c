import { vethName } from "@cnilab/calico";
import type { Cluster } from "@cnilab/cluster";
import { routesText } from "@cnilab/inspect";
import type { NetNamespace } from "@cnilab/linux";
import { formatMac, parseIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { pod } from "../lab.ts";
import { addressOf, calicoLab, verdict } from "./lab.ts";

// cni-plugin/pkg/dataplane/linux/dataplane_linux.go, cni-plugin/pkg/k8s/k8s.go

function hostOf(cluster: Cluster): NetNamespace {
  const netns = cluster.nodes.get("node-a")?.kernel.initNs;
  if (netns === undefined) throw new Error("no node-a");
  return netns;
}

function netnsOf(cluster: Cluster, name: string): NetNamespace {
  const address = parseIp(addressOf(cluster, name));
  for (const netns of cluster.nodes.get("node-a")?.kernel.namespaces ?? []) {
    if (netns.hasAddress(address)) return netns;
  }
  throw new Error(`no ${name}`);
}

describe("inside of a pod", () => {
  test("everything goes to an address that nobody has", async () => {
    const cluster = await calicoLab({ options: { encapsulation: "VXLAN" } });
    const netns = netnsOf(cluster, "a1");
    expect(routesText(netns).trim().split(/ *\n/)).toEqual([
      "default via 169.254.1.1 dev eth0",
      "169.254.1.1 dev eth0 scope link",
    ]);
    expect(netns.device("eth0").addresses4.map((a) => a.prefixLength)).toEqual([32]);
    expect(netns.device("eth0").mtu).toBe(1450);
    expect(hostOf(cluster).hasAddress(parseIp("169.254.1.1"))).toBe(false);
  });

  test("in IPv6, to the host side's link-local address", async () => {
    const cluster = await calicoLab({
      nodes: ["fd00:18::2", "fd00:18::3"],
      ipFamilies: [6],
      options: { encapsulation: "VXLAN" },
    });
    const text = routesText(netnsOf(cluster, "a1"), { family: 6 });
    expect(text).toContain("default via fe80::ecee:eeff:feee:eeee dev eth0");
    expect(verdict(cluster, "a1", addressOf(cluster, "b1"))).toBe("allowed");
  });
});

test("a pod has the MAC that it asks for", async () => {
  const cluster = await calicoLab({
    objects: [
      pod("mac", "node-a", {
        annotations: { "cni.projectcalico.org/hwAddr": "02:00:00:00:00:42" },
      }),
    ],
  });
  expect(formatMac(netnsOf(cluster, "mac").device("eth0").mac)).toBe("02:00:00:00:00:42");
  expect(verdict(cluster, "b1", addressOf(cluster, "mac"))).toBe("allowed");
});

test.each([
  [{ hwAddr: "02:00" }, "failed to parse MAC address 02:00"],
  [
    { ipAddrs: '["10.244.0.9"]', ipAddrsNoIpam: '["10.244.0.9"]' },
    "can't have both annotations: 'ipAddrs' and 'ipAddrsNoIpam' in use at the same time",
  ],
  [{ ipAddrsNoIpam: '["10.9.9.9"]' }, "requested feature is not enabled: ip_addrs_no_ipam"],
])("a pod that asks for what it cannot have waits: %o", async (asked, message) => {
  const annotations = Object.entries(asked).map(([k, v]) => [`cni.projectcalico.org/${k}`, v]);
  const cluster = await calicoLab({
    objects: [pod("bad", "node-a", { annotations: Object.fromEntries(annotations) })],
  });
  const events = cluster.api.list("Event").filter((e) => e.involvedObject.name === "bad");
  expect(events.map((e) => e.message).join("\n")).toContain(message);
  // Neither device nor address is left behind.
  expect(hostOf(cluster).findDevice(vethName("default", "bad"))).toBeUndefined();
  const handles = cluster.api.list("IPAMHandle.projectcalico.org").map((h) => h.spec.handleID);
  expect(handles.filter((h) => h.startsWith("k8s-pod-network."))).toHaveLength(3);
});
