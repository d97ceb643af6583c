import { expect, test } from "vitest";
import { cnilab } from "./cnilab.ts";

const show = ["show", "ovs", "--node", "node1"];

test("show ovs prints the datapath of a node, and its flows, as ovs-dpctl does", async () => {
  const { stdout, status } = await cnilab([...show, "--cni", "weave"]);
  expect(status).toBe(0);
  const [head, lookups, ...rest] = stdout.split("\n");
  expect(head).toBe("system@datapath:");
  expect(lookups).toMatch(/^ {2}lookups: hit:\d+ missed:\d+ lost:\d+$/);
  expect(rest).toContain("  port 2: vxlan-6784 (vxlan: packet_type=ptap)");
  const flow =
    /^(tunnel\(tun_id=0x[0-9a-f]+,src=\S+,dst=\S+,flags\(\+key\)\),)?in_port\(\d\),eth\(src=\S+,dst=\S+\),eth_type\(0\/0x0000\), packets:\d+, bytes:\d+, used:(never|[\d.]+s), actions:\S+$/;
  const flows = rest.filter((line) => line.includes("actions:"));
  expect(flows.length).toBeGreaterThan(0);
  for (const line of flows) expect(line).toMatch(flow);
});

test("as data, it counts as many flows as it has", async () => {
  const { stdout, status } = await cnilab([...show, "--cni", "weave", "-o", "json"]);
  expect(status).toBe(0);
  const [datapath] = JSON.parse(stdout);
  expect(datapath).toMatchObject({
    name: "datapath",
    ports: [
      { number: 0, name: "datapath", type: "internal" },
      { number: 1, name: "vethwe-datapath", type: "netdev" },
      { number: 2, name: "vxlan-6784", type: "vxlan" },
    ],
  });
  expect(datapath.stats.flows).toBe(datapath.flows.length);
});

test("a node without one has nothing to show", async () => {
  expect(await cnilab([...show, "--cni", "flannel"])).toMatchObject({ status: 0, stdout: "" });
});
