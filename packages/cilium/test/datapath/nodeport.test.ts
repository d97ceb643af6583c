import { Trace } from "@cnilab/linux";
import { formatIp, IPPROTO_TCP, IPPROTO_UDP } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { connect, datagram, outcome } from "./datapath-lab.ts";
import { NODE_PORT, ServiceLab, type ServiceLabOptions, serviceSpec } from "./service-lab.ts";

const ASK = { TCP: connect, UDP: datagram } as const;

/** Two nodes, a pod on each, and a machine outside that asks the first node. */
function world(options: ServiceLabOptions) {
  const services = new ServiceLab(options);
  const one = services.node();
  const two = services.node();
  const near = services.backend(one, 1001);
  const far = services.backend(two, 1002);
  const client = services.client(one);
  return { services, one, two, near, far, client };
}

const HOST_ROUTING = { config: { hostRouting: true } } as const;

/** How a mode is set, and what the far pod sees of a client. */
const MODES: readonly (readonly [
  name: string,
  options: ServiceLabOptions,
  seen: { readonly TCP: "node" | "router" | "client"; readonly UDP: "node" | "router" | "client" },
])[] = [
  ["snat", {}, { TCP: "node", UDP: "node" }],
  ["snat with BPF host routing", HOST_ROUTING, { TCP: "node", UDP: "node" }],
  ["snat over VXLAN", { tunnel: "vxlan" }, { TCP: "router", UDP: "router" }],
  ["snat over Geneve", { tunnel: "geneve" }, { TCP: "router", UDP: "router" }],
  [
    "snat over VXLAN with BPF host routing",
    { tunnel: "vxlan", ...HOST_ROUTING },
    { TCP: "router", UDP: "router" },
  ],
  ["dsr opt", { lb: { mode: "dsr" } }, { TCP: "client", UDP: "client" }],
  [
    "dsr opt with BPF host routing",
    { lb: { mode: "dsr" }, ...HOST_ROUTING },
    { TCP: "client", UDP: "client" },
  ],
  [
    "dsr geneve",
    { lb: { mode: "dsr", dsrDispatch: "geneve" }, tunnel: "geneve" },
    { TCP: "client", UDP: "client" },
  ],
  ["hybrid", { lb: { mode: "hybrid" } }, { TCP: "client", UDP: "node" }],
];

describe.each([4, 6] as const)("a NodePort over IPv%i", (family) => {
  const port = { spec: serviceSpec(family, { type: "NodePort" }) };

  describe.each(MODES)("with %s", (_name, options, seen) => {
    test.each(["TCP", "UDP"] as const)("%s to a pod of the node that is asked", (protocol) => {
      const { services, one, near, client } = world({ family, ...options });
      services.put("web", port, [{ pod: near }]);
      const done = ASK[protocol](client, one.address, NODE_PORT);
      expect(outcome(done)).toBe("connected");
      expect(done.report?.netns).toBe(near.netns);
      expect(formatIp(done.report?.seenAddress ?? 0)).toBe(formatIp(services.clientAddress(0)));
      // Once more: by what is remembered.
      expect(outcome(ASK[protocol](client, one.address, NODE_PORT))).toBe("connected");
    });

    test.each(["TCP", "UDP"] as const)("%s to a pod of another node", (protocol) => {
      const { services, one, far, client } = world({ family, ...options });
      services.put("web", port, [{ pod: far }]);
      const done = ASK[protocol](client, one.address, NODE_PORT);
      expect(outcome(done)).toBe("connected");
      expect(done.report?.netns).toBe(far.netns);
      const expected = { node: one.address, router: one.router, client: services.clientAddress(0) };
      expect(formatIp(done.report?.seenAddress ?? 0)).toBe(formatIp(expected[seen[protocol]]));
      expect(outcome(ASK[protocol](client, one.address, NODE_PORT))).toBe("connected");
    });
  });
});
