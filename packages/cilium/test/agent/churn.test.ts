import type { KubeObject } from "@cnilab/core";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type LabEndpoint, SecurityLab } from "./security-lab.ts";

const APPS = ["web", "api", "db"] as const;
const TIERS = ["1", "2"] as const;
const OUTSIDE = ["203.0.113.5", "203.0.113.200", "8.8.8.8", "192.168.0.1", "192.168.0.2"];
const PORTS = [80, 5432, 8080];

const app = (name: string) => ({ matchLabels: { app: name } });
const port = (port: string, endPort?: number) => [
  { ports: [{ port, protocol: "TCP", ...(endPort && { endPort }) }] },
];

/** What policies say; each may come and go. */
const SPECS: readonly object[] = [
  {
    endpointSelector: app("db"),
    ingress: [{ fromEndpoints: [app("api")], toPorts: port("5432") }],
  },
  {
    endpointSelector: app("db"),
    ingress: [{ fromEndpoints: [app("web")], toPorts: port("80", 8080) }],
  },
  { endpointSelector: {}, egress: [{ toEndpoints: [{ matchLabels: { tier: "1" } }] }] },
  {
    endpointSelector: app("api"),
    ingressDeny: [{ fromEndpoints: [{ matchLabels: { tier: "2" } }] }],
  },
  {
    endpointSelector: app("web"),
    egress: [{ toCIDRSet: [{ cidr: "203.0.113.0/24", except: ["203.0.113.128/25"] }] }],
  },
  { endpointSelector: app("web"), egressDeny: [{ toCIDR: ["203.0.113.0/28"] }] },
  { endpointSelector: app("api"), ingress: [{ fromEntities: ["world", "remote-node"] }] },
  { endpointSelector: app("db"), ingress: [{ toPorts: port("http") }] },
  { endpointSelector: app("api"), egress: [{ toPorts: port("http") }] },
  {
    endpointSelector: {},
    ingress: [
      {
        fromEndpoints: [{ matchExpressions: [{ key: "tier", operator: "NotIn", values: ["2"] }] }],
      },
    ],
  },
];

interface Placed {
  readonly node: 0 | 1;
  readonly app: string;
  readonly tier: string;
}

type Step =
  | { readonly do: "run"; readonly pod: number; readonly placed: Placed }
  | { readonly do: "remove"; readonly pod: number }
  | { readonly do: "relabel"; readonly pod: number; readonly app: string; readonly tier: string }
  | { readonly do: "put"; readonly policy: number; readonly spec: number }
  | { readonly do: "delete"; readonly policy: number }
  | { readonly do: "restart"; readonly node: 0 | 1 }
  | { readonly do: "wait"; readonly ms: number };

const pod = fc.nat(5);
const labels = { app: fc.constantFrom(...APPS), tier: fc.constantFrom(...TIERS) };
const node = fc.constantFrom(0 as const, 1 as const);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant("run" as const), pod, placed: fc.record({ node, ...labels }) }),
  fc.record({ do: fc.constant("remove" as const), pod }),
  fc.record({ do: fc.constant("relabel" as const), pod, ...labels }),
  fc.record({ do: fc.constant("put" as const), policy: fc.nat(4), spec: fc.nat(SPECS.length - 1) }),
  fc.record({ do: fc.constant("delete" as const), policy: fc.nat(4) }),
  fc.record({ do: fc.constant("restart" as const), node }),
  fc.record({ do: fc.constant("wait" as const), ms: fc.constantFrom(1, 11, 1000, 5000) }),
);

/** A cluster that steps are taken in. */
class World {
  readonly lab: SecurityLab;
  readonly pods = new Map<number, { endpoint: LabEndpoint; placed: Placed }>();
  readonly policies = new Map<number, number>();
  readonly #stopped = new Set<number>();

  constructor(seed: number, delays: { readonly requestMs: number; readonly watchMs: number }) {
    this.lab = new SecurityLab({ seed });
    this.lab.node("192.168.0.1", "10.0.0.0/24");
    this.lab.node("192.168.0.2", "10.0.1.0/24");
    Object.assign(this.lab.propagation, delays);
  }

  take(step: Step): void {
    const { lab } = this;
    switch (step.do) {
      case "run":
        if (this.pods.has(step.pod) || this.#stopped.has(step.placed.node)) return;
        this.run(step.pod, step.placed);
        return;
      case "remove": {
        const there = this.pods.get(step.pod);
        if (there === undefined || this.#stopped.has(there.placed.node)) return;
        there.endpoint.remove();
        this.pods.delete(step.pod);
        return;
      }
      case "relabel": {
        const there = this.pods.get(step.pod);
        if (there === undefined) return;
        const { app, tier } = step;
        this.pods.set(step.pod, { ...there, placed: { ...there.placed, app, tier } });
        lab.api.update("Pod", `default/p${step.pod}`, (object: KubeObject) => ({
          ...object,
          metadata: { ...object.metadata, labels: { app, tier } },
        }));
        return;
      }
      case "put":
        this.put(step.policy, step.spec);
        return;
      case "delete":
        this.policies.delete(step.policy);
        lab.api.delete("CiliumNetworkPolicy.cilium.io", `default/policy-${step.policy}`);
        return;
      case "restart": {
        const node = lab.nodes[step.node];
        if (this.#stopped.delete(step.node)) node?.start();
        else {
          this.#stopped.add(step.node);
          node?.stop();
        }
        return;
      }
      case "wait":
        lab.clock.advance(step.ms);
    }
  }

  run(i: number, placed: Placed): void {
    const { app, tier, node } = placed;
    const endpoint = this.lab.nodes[node]?.run({
      name: `p${i}`,
      labels: { app, tier },
      ip: addressOf(i, node),
      ports: i % 2 === 0 ? ["http/TCP/8080"] : [],
    });
    if (endpoint !== undefined) this.pods.set(i, { endpoint, placed });
  }

  put(policy: number, spec: number): void {
    this.policies.set(policy, spec);
    this.lab.api.put(this.lab.cnp(`policy-${policy}`, SPECS[spec] as object));
  }

  settle(): void {
    for (const node of this.#stopped) this.lab.nodes[node]?.start();
    this.#stopped.clear();
    this.lab.clock.settle();
  }

  /** What becomes of every packet between any two. */
  verdicts(): Record<string, string> {
    const addresses = [
      ...OUTSIDE,
      ...[...this.pods].map(([i, { placed }]) => addressOf(i, placed.node)),
    ].sort();
    const verdicts: Record<string, string> = {};
    for (const [i, { endpoint }] of [...this.pods].sort(([a], [b]) => a - b)) {
      for (const address of addresses) {
        for (const number of PORTS) {
          verdicts[`p${i} <- ${address}:${number}`] = endpoint.ingress(address, number);
          verdicts[`p${i} -> ${address}:${number}`] = endpoint.egress(address, number);
        }
      }
    }
    return verdicts;
  }
}

function addressOf(i: number, node: number): string {
  return `10.0.${node}.${i + 10}`;
}

test("whatever came and went in whatever order, maps end as if all had been there from the start", () => {
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 10, maxLength: 60 }),
      fc.nat(),
      fc.record({ requestMs: fc.constantFrom(0, 5), watchMs: fc.constantFrom(0, 20) }),
      (steps, seed, delays) => {
        const world = new World(seed, delays);
        for (const each of steps) world.take(each);
        world.settle();
        const fresh = new World(1, { requestMs: 0, watchMs: 0 });
        for (const [policy, spec] of world.policies) fresh.put(policy, spec);
        for (const [i, { placed }] of world.pods) fresh.run(i, placed);
        fresh.settle();
        expect(world.verdicts()).toEqual(fresh.verdicts());
        for (const { endpoint } of world.pods.values()) {
          expect(world.lab.policies.endpoints.status(endpoint)).toMatchObject({ missing: 0 });
        }
      },
    ),
    { numRuns: 250 },
  );
});
