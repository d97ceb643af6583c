import { BRIDGE, type BridgeEngine, CniError, type PodAttachment } from "@cnilab/core";
import { routesText } from "@cnilab/inspect";
import { formatIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { hostOf, pod, verdict } from "../lab.ts";
import { addressesOf, ciliumLab, sandboxOf } from "./lab.ts";

describe("a pod's interface", () => {
  test("has its address alone, and goes by the router", () => {
    const cluster = ciliumLab();
    const sandbox = sandboxOf(cluster, "a1");
    const router = hostOf(cluster, "node-a").device("cilium_host").addresses4[0];
    const via = formatIp(router?.address ?? 0);
    const lines = routesText(sandbox, {})
      .split("\n")
      .map((l) => l.trim());
    expect(lines.filter((l) => l !== "")).toEqual([
      `default via ${via} dev eth0 mtu 1450`,
      `${via} dev eth0 scope link`,
    ]);
    const eth0 = sandbox.device("eth0");
    expect(eth0.mtu).toBe(1500);
    expect(eth0.addresses4.map(({ prefixLength }) => prefixLength)).toEqual([32]);
  });

  test("hangs on lxc and twelve digits, with programs of the endpoint", () => {
    const cluster = ciliumLab();
    const eth0 = sandboxOf(cluster, "a1").device("eth0");
    const lxc = eth0.peerDevice;
    expect(lxc?.name).toMatch(/^lxc[0-9a-f]{12}$/);
    expect(lxc?.tc?.ingressHook?.links.map((l) => l.program.name)).toEqual(["cil_from_container"]);
    expect(hostOf(cluster, "node-a").sysctl.get(`net.ipv4.conf.${lxc?.name}.rp_filter`)).toBe(0);
  });

  test("goes with the pod, and so does all that is about it", () => {
    const cluster = ciliumLab();
    const lxc = sandboxOf(cluster, "a1").device("eth0").peerDevice?.name ?? "";
    const [address] = addressesOf(cluster, "a1");
    cluster.delete("Pod", "default/a1");
    cluster.settle();
    expect(hostOf(cluster, "node-a").findDevice(lxc)).toBeUndefined();
    expect(cluster.api.get("CiliumEndpoint.cilium.io", "default/a1")).toBeUndefined();
    const bpf = hostOf(cluster, "node-a").kernel.bpf;
    const endpoints = [...bpf.maps.values()].find(({ name }) => name === "cilium_lxc");
    const keys = [...(endpoints?.entries() ?? [])].map(([key]) => formatIp(key as number));
    expect(keys).not.toContain(address);
    cluster.apply([pod("a2", "node-a")]);
    cluster.settle();
    expect(verdict(cluster, "a2", "b1")).toBe("allowed");
  });
});

test("the API server is told of each endpoint", () => {
  const cluster = ciliumLab();
  const endpoint = cluster.api.get("CiliumEndpoint.cilium.io", "default/a1");
  expect(endpoint?.status).toMatchObject({
    id: expect.any(Number),
    "external-identifiers": { "k8s-namespace": "default", "k8s-pod-name": "a1" },
    networking: { addressing: [{ ipv4: addressesOf(cluster, "a1")[0] }], node: "172.18.0.2" },
    state: "ready",
  });
  expect(endpoint?.status.id).toBeGreaterThanOrEqual(1);
  expect(endpoint?.status.id).toBeLessThanOrEqual(4095);
  expect(endpoint?.status.identity?.labels).toContain("k8s:io.kubernetes.pod.namespace=default");
  const identity = String(endpoint?.status.identity?.id);
  expect(cluster.api.get("CiliumIdentity.cilium.io", identity)).toBeDefined();
});

describe("while the agent is away", () => {
  test("connections, maps and programs go on; new pods wait, and ends are made up for", () => {
    const cluster = ciliumLab({ pods: 2 });
    const agent = cluster.nodes.get("node-a")?.agents.find((a) => a.name === "cilium-agent");
    const before = cluster.api.get("CiliumEndpoint.cilium.io", "default/a1")?.status;
    agent?.stop();
    cluster.settle();
    expect(verdict(cluster, "a1", "b1")).toBe("allowed");
    expect(verdict(cluster, "b1", "a1")).toBe("allowed");
    cluster.delete("Pod", "default/a2");
    cluster.apply([pod("a3", "node-a")]);
    cluster.settle();
    expect(cluster.api.get("Pod", "default/a3")?.status?.phase).toBe("Pending");
    agent?.start();
    cluster.settle();
    expect(verdict(cluster, "a1", "b1")).toBe("allowed");
    expect(verdict(cluster, "a3", "b1")).toBe("allowed");
    const after = cluster.api.get("CiliumEndpoint.cilium.io", "default/a1")?.status;
    expect(after).toEqual(before);
    expect(cluster.api.get("CiliumEndpoint.cilium.io", "default/a2")).toBeUndefined();
  });

  test("the plugin says that nobody answers", () => {
    const cluster = ciliumLab();
    const failures: Error[] = [];
    cluster.events$.subscribe((event) => {
      if (event.kind === "pod-attach-failed") failures.push(event.error);
    });
    const node = cluster.nodes.get("node-a");
    // The kubelet has not heard of it yet.
    node?.agents.find((a) => a.name === "cilium-agent")?.stop();
    node?.kubelet.setNetworkReady(true);
    cluster.apply([pod("a2", "node-a")]);
    cluster.settle();
    expect(failures[0]).toBeInstanceOf(CniError);
    expect(failures[0]?.message).toContain("/var/run/cilium/cilium.sock");
  });
});

describe("CHECK, which the agent's own configuration is too old for,", () => {
  const FILE = "/etc/cni/net.d/05-cilium.conflist";
  /** A pod of a node whose configuration somebody has made newer. */
  function attached(name: string) {
    const cluster = ciliumLab();
    const node = cluster.nodes.get("node-a");
    const text = node?.machine.files.read(FILE) ?? "";
    node?.machine.files.write(FILE, text.replace("0.3.1", "1.0.0"));
    cluster.apply([pod(name, "node-a")]);
    cluster.settle();
    const bridge = node?.container.resolve(BRIDGE) as BridgeEngine;
    const status = cluster.api.get("CiliumEndpoint.cilium.io", `default/${name}`)?.status;
    const sandbox = sandboxOf(cluster, name);
    const attachment: PodAttachment = {
      containerId: status?.["external-identifiers"]?.["container-id"] ?? "",
      ifName: "eth0",
      sandbox,
      pod: { namespace: "default", name, uid: "", labels: {}, annotations: {} },
      portMappings: [],
    };
    return { bridge, attachment, sandbox, node };
  }

  test("finds a pod as ADD has left it", () => {
    const { bridge, attachment } = attached("a9");
    expect(() => bridge.check(attachment)).not.toThrow();
  });

  test("misses an address", () => {
    const { bridge, attachment, sandbox } = attached("a9");
    const eth0 = sandbox.device("eth0");
    for (const { address, prefixLength } of [...eth0.addresses4]) {
      eth0.removeAddress(address, prefixLength);
    }
    expect(() => bridge.check(attachment)).toThrow(/expected ip .* not found on interface eth0/);
  });

  test("misses an agent", () => {
    const { bridge, attachment, node } = attached("a9");
    node?.agents.find((a) => a.name === "cilium-agent")?.stop();
    expect(() => bridge.check(attachment)).toThrow("unable to connect to Cilium agent");
  });
});
