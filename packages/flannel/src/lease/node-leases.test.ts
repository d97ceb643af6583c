import type { Node, Snapshot } from "@cnilab/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { annotationNames } from "./annotations.ts";
import { NodeLeases } from "./node-leases.ts";

const names = annotationNames("flannel.alpha.coreos.com");
const v4 = { enableIPv4: true, enableIPv6: false };

function node(n: number, publicIp: string, mac = `aa:00:00:00:00:0${n}`, uid = `${n}`): Node {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name: `node${n}`,
      uid,
      annotations: {
        [names.kubeSubnetManager]: "true",
        [names.backendType]: "vxlan",
        [names.backendData]: `{"VNI":1,"VtepMAC":"${mac}"}`,
        [names.publicIp]: publicIp,
      },
    },
    spec: { podCIDR: `10.244.${n}.0/24`, podCIDRs: [`10.244.${n}.0/24`] },
  };
}

let version = 0;
function snapshot(...nodes: Node[]): Snapshot<Node> {
  return { version: ++version, objects: new Map(nodes.map((n) => [n.metadata.name, n])) };
}

describe("what nodes share", () => {
  test("one view a snapshot, one way on from each view", () => {
    const leases = new NodeLeases(names, v4);
    const [one, two] = [snapshot(node(1, "10.0.0.1")), snapshot(node(1, "10.0.0.9"))];
    const view = leases.fresh(one);
    expect(leases.fresh(one)).toBe(view);
    expect(view.next(two)).toBe(view.next(two));
  });

  test("a change that is no news leaves the table as it is", () => {
    const leases = new NodeLeases(names, v4);
    const before = node(1, "10.0.0.1");
    const view = leases.fresh(snapshot(before));
    const heartbeat = { ...before, status: { conditions: [] } };
    const next = view.next(snapshot(heartbeat));
    expect(next.events).toBeUndefined();
    expect(next.view.table).toBe(view.table);
  });

  test("who comes later sees the same table as who was there", () => {
    const leases = new NodeLeases(names, v4);
    const [one, two] = [
      snapshot(node(1, "10.0.0.1")),
      snapshot(node(1, "10.0.0.1"), node(2, "10.0.0.2")),
    ];
    const next = leases.fresh(one).next(two);
    expect(next.view).toBe(leases.fresh(two));
    expect(next.events?.added.map((l) => String(l.subnet))).toEqual(["10.244.2.0/24"]);
  });

  test("a node that was replaced by one of its name is gone and new", () => {
    const leases = new NodeLeases(names, v4);
    const one = snapshot(node(1, "10.0.0.1", "aa:00:00:00:00:01", "old"));
    const two = snapshot(node(1, "10.0.0.2", "aa:00:00:00:00:02", "new"));
    const { events, view } = leases.fresh(one).next(two);
    expect([events?.removed.length, events?.added.length]).toEqual([1, 1]);
    expect(view.table.history.size).toBe(0);
  });

  test("who saw a node with another MAC has it in mind", () => {
    const leases = new NodeLeases(names, v4);
    const one = snapshot(node(1, "10.0.0.1", "aa:00:00:00:00:01"));
    const two = snapshot(node(1, "10.0.0.1", "aa:00:00:00:00:02"));
    const { view } = leases.fresh(one).next(two);
    expect([...view.table.history.keys()]).toEqual(["10.244.1.0/24"]);
    expect(leases.fresh(two).table.history.size).toBe(0);
  });
});

test("whatever the way, the leases are those of the nodes that there are", () => {
  const states = fc.array(
    fc.dictionary(
      fc.constantFrom("1", "2", "3", "4"),
      fc.constantFrom("10.0.0.1", "10.0.0.2", "10.0.0.3"),
      {
        maxKeys: 4,
      },
    ),
    { minLength: 1, maxLength: 8 },
  );
  fc.assert(
    fc.property(states, (history) => {
      const leases = new NodeLeases(names, v4);
      const snapshots = history.map((s) =>
        snapshot(...Object.entries(s).map(([n, ip]) => node(Number(n), ip))),
      );
      let view = leases.fresh(snapshots[0] as Snapshot<Node>);
      for (const next of snapshots.slice(1)) view = view.next(next).view;
      const last = leases.fresh(snapshots.at(-1) as Snapshot<Node>);
      expect(new Set(view.table.leases.values())).toEqual(new Set(last.table.leases.values()));
      if (view.table.history.size === 0) expect(view.table).toBe(last.table);
    }),
  );
});
