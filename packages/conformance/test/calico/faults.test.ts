// What an operator sees of a Calico cluster in trouble: each starts from a working one.
import type { Cluster } from "@cnilab/cluster";
import type { Nic } from "@cnilab/linux";
import { describe, expect, test } from "vitest";
import { pod } from "../lab.ts";
import { addressOf, calicoLab, calicoObject, clusterRoutes, pool, verdict } from "./lab.ts";

const FULL_SIZED =
  /^stalls: the handshake with \S+ passes, full-sized packets do not: dropped at node-a\/eth0: PKT_TOO_BIG \(\d+ byte frame, MTU 1460 of segment underlay\)$/;

/** Nodes' cards take 1500 bytes, and the cloud's network 1460: nobody is told of what it loses. */
function narrowNetwork(cluster: Cluster): void {
  const eth0 = cluster.nodes.get("node-a")?.kernel.initNs.device("eth0") as Nic;
  eth0.segment.mtu = 1460;
}

describe("an MTU that is too large for the encapsulation", () => {
  test.each<[encapsulation: string, headers: number]>([
    ["IPIP", 20],
    ["IPIPCrossSubnet", 0],
    ["VXLAN", 50],
    ["VXLANCrossSubnet", 0],
  ])(
    "%s: stalls between nodes, and the trace says where; %i bytes less do",
    async (encapsulation, headers) => {
      const withMtu = async (mtu: number): Promise<Cluster> => {
        const cluster = await calicoLab({ options: { encapsulation, mtu }, pods: 2 });
        narrowNetwork(cluster);
        return cluster;
      };
      const tooLarge = await withMtu(1461 - headers);
      expect(verdict(tooLarge, "a1", "b1")).toMatch(FULL_SIZED);
      expect(verdict(tooLarge, "node/node-a", "b1")).toMatch(FULL_SIZED);
      expect(verdict(tooLarge, "a1", "a2")).toBe("allowed");
      const fits = await withMtu(1460 - headers);
      expect(verdict(fits, "a1", "b1")).toBe("allowed");
    },
  );

  // The node tells the pod, which sends smaller segments from then on.
  test.each(["IPIP", "VXLAN"])(
    "%s: what only the node's own card is too small for does",
    async (encapsulation) => {
      const cluster = await calicoLab({ options: { encapsulation, mtu: 1500 } });
      expect(verdict(cluster, "a1", "b1")).toBe("allowed");
    },
  );
});

/** Two blocks of eight. */
const SMALL = pool("10.250.0.0/28", { blockSize: 29, vxlanMode: "Always" });

describe("more pods than addresses", () => {
  const waiting = (cluster: Cluster): string[] =>
    cluster.api
      .list("Pod")
      .filter(({ status }) => status?.phase !== "Running")
      .map(({ metadata }) => metadata.name);

  test("the last wait, and say so; each address that comes free is one's", async () => {
    // Of 16 addresses the nodes' tunnels have three.
    const cluster = await calicoLab({
      options: { encapsulation: "VXLAN" },
      objects: [SMALL],
      pods: 5,
    });
    const [first, second, ...more] = waiting(cluster);
    expect(more).toEqual([]);
    const [event] = cluster.api
      .list("Event")
      .filter(({ involvedObject }) => involvedObject.name === first);
    expect(event?.message).toBe(
      'Failed to create pod sandbox: failed to setup network for sandbox: plugin type="calico" failed (add): failed to request IPv4 addresses: Assigned 0 out of 1 requested IPv4 addresses; No IPs available in pools: [10.250.0.0/28]',
    );
    const freed = addressOf(cluster, "a1");
    cluster.delete("Pod", "default/a1");
    cluster.delete("Pod", "default/a2");
    // The kubelet tries again every five minutes at last.
    cluster.clock.advance(300_000);
    await cluster.settled();
    expect(waiting(cluster)).toEqual([]);
    expect([first, second].map((name) => addressOf(cluster, name as string))).toContain(freed);
    expect(verdict(cluster, "b1", first as string)).toBe("allowed");
  });

  test("a node without a block has addresses of others', by routes of their own, and its pods are reached", async () => {
    const cluster = await calicoLab({
      options: { encapsulation: "VXLAN" },
      objects: [SMALL],
      pods: 3,
    });
    expect(waiting(cluster)).toEqual([]);
    const owners = ["a1", "b1", "c1"].map((name) => {
      const last = Number(addressOf(cluster, name).split(".")[3]);
      return last < 8 ? "first" : "second";
    });
    // Two nodes own the blocks, the third one borrows.
    expect(new Set(owners).size).toBe(2);
    const borrowed = ["c1", "c2", "c3"].map((name) => addressOf(cluster, name));
    for (const address of borrowed) {
      for (const other of ["node-a", "node-b"]) {
        expect(clusterRoutes(cluster, other).join("\n")).toMatch(
          new RegExp(`^${address.replaceAll(".", "\\.")} via \\S+ dev vxlan\\.calico onlink`, "m"),
        );
      }
    }
    for (const [from, to] of [
      ["a1", "c1"],
      ["c1", "a1"],
      ["b1", "c3"],
      ["c2", "b2"],
      ["node/node-a", "c2"],
    ] as const) {
      expect(verdict(cluster, from, to), `${from} to ${to}`).toBe("allowed");
    }
  });

  test("strict affinity lends nothing: the pods of the node without a block wait", async () => {
    const strict = calicoObject("IPAMConfiguration", "default", {
      strictAffinity: true,
      autoAllocateBlocks: true,
    });
    const cluster = await calicoLab({
      options: { encapsulation: "VXLAN" },
      objects: [SMALL, strict],
      pods: 2,
    });
    const names = waiting(cluster);
    expect(new Set(names.map((name) => name[0])).size).toBe(1);
    expect(names).toHaveLength(2);
  });
});

describe("a node that is lost", () => {
  test("stays in the routes of others, which hear nothing, and has its block when it is back", async () => {
    const cluster = await calicoLab({ options: { encapsulation: "VXLAN" } });
    const routes = clusterRoutes(cluster, "node-a");
    const b1 = addressOf(cluster, "b1");
    cluster.stopNode("node-b");
    expect(verdict(cluster, "a1", b1)).toMatch(/^unreachable/);
    expect(verdict(cluster, "a1", "c1")).toBe("allowed");
    await cluster.settled();
    // Its pod is to go, and nobody is there to end it; Felix elsewhere has been told nothing, as the Node is there.
    expect(cluster.api.get("Pod", "default/b1")?.metadata.deletionTimestamp).toBeDefined();
    expect(clusterRoutes(cluster, "node-a")).toEqual(routes);
    cluster.startNode("node-b");
    cluster.apply([pod("b2", "node-b")]);
    await cluster.settled();
    expect(cluster.api.get("Pod", "default/b1")).toBeUndefined();
    expect(addressOf(cluster, "b2").split(".").slice(0, 3)).toEqual(b1.split(".").slice(0, 3));
    expect(clusterRoutes(cluster, "node-a")).toEqual(routes);
    expect(verdict(cluster, "a1", "b2")).toBe("allowed");
    expect(verdict(cluster, "b2", "a1")).toBe("allowed");
  });

  test("and deleted gives its block back, and goes from the routes of others", async () => {
    const cluster = await calicoLab({ options: { encapsulation: "VXLAN" } });
    const [block] = addressOf(cluster, "b1").split(/\d+$/);
    cluster.stopNode("node-b");
    await cluster.settled();
    cluster.delete("Node", "node-b");
    await cluster.settled();
    expect(
      clusterRoutes(cluster, "node-a").filter((line) => line.startsWith(block as string)),
    ).toEqual([]);
    expect(verdict(cluster, "a1", "c1")).toBe("allowed");
  });
});
