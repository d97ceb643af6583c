import { SeededRandom, VirtualClock } from "@cnilab/core";
import { type Prefix, parseIp, parsePrefix } from "@cnilab/net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { CiliumIdentity } from "../api/v2/identity.ts";
import { cidrLabels } from "../labels/cidr-labels.ts";
import { type LabelSet, parseLabels, printLabels } from "../labels/label-set.ts";
import { GlobalIdentities, HEARTBEAT_ANNOTATION, identityObject } from "./global-identities.ts";
import { IDENTITY_GC_INTERVAL_MS, IdentityGc } from "./identity-gc.ts";
import { scopeOfLabels } from "./identity-scope.ts";
import { allowsOverwrite, IpCache, type IpCacheEntry } from "./ip-cache.ts";
import { KnownIdentities } from "./known-identities.ts";
import { LocalIdentities } from "./local-identities.ts";
import { IDENTITY_SCOPE, type IdentityRange, identityRange, scopeOf } from "./numeric-identity.ts";
import { PrefixMetadata } from "./prefix-metadata.ts";
import { reservedIdentityOf } from "./reserved-identities.ts";

const labelsOf = (text: string): LabelSet => parseLabels(text.split(" "));

test.each([
  ["reserved:host", 1],
  ["reserved:host reserved:kube-apiserver", 1],
  ["reserved:remote-node", 6],
  ["reserved:kube-apiserver reserved:remote-node", 7],
  ["reserved:world", 2],
  ["reserved:world cidr:10.0.0.0/8", undefined],
  ["reserved:kube-apiserver reserved:world", undefined],
  ["k8s:app=web", undefined],
  ["reserved:unknown", undefined],
])("%s is the reserved identity %s", (text, identity) => {
  expect(reservedIdentityOf(labelsOf(text))).toBe(identity);
});

test.each([
  ["k8s:app=web", IDENTITY_SCOPE.global],
  ["cidr:10.0.0.0/8 reserved:world", IDENTITY_SCOPE.local],
  ["cidr:10.0.0.0/8 k8s:app=web", IDENTITY_SCOPE.global],
  ["reserved:remote-node node:zone=a", IDENTITY_SCOPE.remoteNode],
  ["fqdn:a.example.com reserved:world", IDENTITY_SCOPE.local],
])("the scope of %s is %d", (text, scope) => {
  expect(scopeOfLabels(labelsOf(text))).toBe(scope);
});

/** An API server, and nodes that hear of changes later. */
class Cluster {
  readonly clock = new VirtualClock();
  readonly objects = new Map<string, CiliumIdentity>();
  readonly nodes: GlobalIdentities[];
  readonly known: KnownIdentities[];

  constructor(count: number, watchMs: number, range: IdentityRange, seed = 1) {
    this.known = Array.from({ length: count }, () => new KnownIdentities());
    const tell = (change: (node: KnownIdentities) => void) => {
      for (const node of this.known) this.clock.schedule(watchMs, () => change(node));
    };
    const backend = {
      create: (given: CiliumIdentity) => {
        const { name } = given.metadata;
        if (this.objects.has(name)) return false;
        const creationTimestamp = new Date(this.clock.now).toISOString();
        const object = { ...given, metadata: { ...given.metadata, creationTimestamp } };
        this.objects.set(name, object);
        tell((node) => node.upsert(object));
        return true;
      },
      update: (name: string, change: (identity: CiliumIdentity) => CiliumIdentity) => {
        const object = this.objects.get(name);
        if (object !== undefined) this.objects.set(name, change(object));
      },
    };
    const random = new SeededRandom(seed);
    this.nodes = Array.from(
      { length: count },
      (_, i) =>
        new GlobalIdentities({
          clock: this.clock,
          random: random.fork(String(i)),
          range,
          backend,
          requestMs: () => 5,
          known: this.known[i] as KnownIdentities,
        }),
    );
  }

  acquire(node: number, labels: LabelSet): { identity?: number } {
    const got: { identity?: number } = {};
    this.nodes[node]?.acquire(labels, (identity) => {
      if (identity !== undefined) got.identity = identity;
    });
    return got;
  }

  delete(name: string): void {
    this.objects.delete(name);
    for (const node of this.known) node.remove(name);
  }
}

const WEB = labelsOf("k8s:app=web k8s:io.kubernetes.pod.namespace=shop");
const API = labelsOf("k8s:app=api k8s:io.kubernetes.pod.namespace=shop");

describe("identities of the cluster", () => {
  test("a node takes the identity that it has heard of", () => {
    const cluster = new Cluster(2, 10, identityRange(0));
    const first = cluster.acquire(0, WEB);
    cluster.clock.settle();
    const second = cluster.acquire(1, WEB);
    expect(second.identity).toBe(first.identity);
    expect(cluster.objects.size).toBe(1);
    const [object] = [...cluster.objects.values()];
    expect(object?.metadata.labels).toEqual({ "io.kubernetes.pod.namespace": "shop" });
  });

  test("two nodes that do not know of each other make two, and later ones take the older", () => {
    const cluster = new Cluster(3, 10, identityRange(0));
    const first = cluster.acquire(0, WEB);
    cluster.clock.advance(1);
    const second = cluster.acquire(1, WEB);
    cluster.clock.settle();
    expect(second.identity).not.toBe(first.identity);
    expect(cluster.acquire(2, WEB).identity).toBe(first.identity);
    expect(cluster.acquire(1, WEB).identity).toBe(second.identity);
  });

  test("of two nodes that choose one number the later chooses again", () => {
    const cluster = new Cluster(2, 50, { least: 256, most: 257 });
    const first = cluster.acquire(0, WEB);
    const second = cluster.acquire(1, API);
    cluster.clock.settle();
    expect(new Set([first.identity, second.identity])).toEqual(new Set([256, 257]));
  });

  test("two endpoints of one node that ask at once get one", () => {
    const cluster = new Cluster(1, 10, identityRange(0));
    const [first, second] = [cluster.acquire(0, WEB), cluster.acquire(0, WEB)];
    cluster.clock.settle();
    expect(first.identity).toBe(second.identity);
    expect(cluster.objects.size).toBe(1);
  });

  test("with no number left there is none, after all tries", () => {
    const cluster = new Cluster(1, 1, { least: 256, most: 256 });
    cluster.acquire(0, WEB);
    cluster.clock.settle();
    let answer: unknown = "none yet";
    cluster.nodes[0]?.acquire(API, (identity) => {
      answer = identity;
    });
    cluster.clock.settle();
    expect(answer).toBeUndefined();
  });

  test("an identity that somebody deletes is made again while it is used", () => {
    const cluster = new Cluster(1, 1, identityRange(0));
    const got = cluster.acquire(0, WEB);
    cluster.clock.settle();
    const { identity } = got;
    cluster.delete(String(identity));
    cluster.clock.settle();
    expect(cluster.objects.has(String(identity))).toBe(true);
    cluster.nodes[0]?.release(WEB);
    cluster.delete(String(identity));
    cluster.clock.settle();
    expect(cluster.objects.size).toBe(0);
    expect(cluster.known[0]?.labels.size).toBe(0);
  });

  test("whoever asks when: all have the labels they asked for, and each number is of one set", () => {
    const step = fc.record({
      node: fc.nat(2),
      app: fc.constantFrom("a", "b", "c"),
      wait: fc.nat(30),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), fc.nat(), (steps, seed) => {
        const cluster = new Cluster(3, 10, { least: 256, most: 264 }, seed);
        const got = steps.map(({ node, app, wait }) => {
          const labels = labelsOf(`k8s:app=${app}`);
          const answer = cluster.acquire(node, labels);
          cluster.clock.advance(wait);
          return { labels, answer };
        });
        cluster.clock.settle();
        for (const { labels, answer } of got) {
          const object = cluster.objects.get(String(answer.identity));
          expect(object?.["security-labels"]).toEqual(identityObject(0, labels)["security-labels"]);
        }
      }),
    );
  });
});

test("the operator marks what nobody uses, and deletes it a round later", () => {
  const gc = new IdentityGc(0);
  const web = identityObject(30001, WEB);
  const marked = {
    ...web,
    metadata: { ...web.metadata, annotations: { [HEARTBEAT_ANNOTATION]: "then" } },
  };
  const [once, none] = [IDENTITY_GC_INTERVAL_MS, new Set<string>()];
  expect(gc.round([web], none, once)).toEqual({ mark: [], delete: [] });
  expect(gc.round([web], new Set(["30001"]), 2 * once)).toEqual({ mark: [], delete: [] });
  expect(gc.round([web], none, 3 * once)).toEqual({ mark: [], delete: [] });
  expect(gc.round([web], none, 4 * once)).toEqual({ mark: [web], delete: [] });
  expect(gc.round([marked], none, 5 * once)).toEqual({ mark: [], delete: [marked] });
});

test("local identities come one after another, and again once nobody has them", () => {
  const local = new LocalIdentities(IDENTITY_SCOPE.local, 2);
  const [a, b, c] = ["10.0.0.0/8", "11.0.0.0/8", "12.0.0.0/8"].map((text) =>
    cidrLabels(parsePrefix(text), false),
  ) as [LabelSet, LabelSet, LabelSet];
  expect(local.acquire(a)).toEqual({ identity: 0x01000001, isNew: true });
  expect(local.acquire(b)).toEqual({ identity: 0x01000002, isNew: true });
  expect(local.acquire(a)).toEqual({ identity: 0x01000001, isNew: false });
  expect(local.acquire(c)).toBeUndefined();
  expect(local.release(0x01000001)).toBe(false);
  expect(local.release(0x01000001)).toBe(true);
  expect(local.acquire(c)).toEqual({ identity: 0x01000001, isNew: true });
  expect(scopeOf(0x01000001)).toBe(IDENTITY_SCOPE.local);
});

test("what a stronger source said of an address stays", () => {
  const cache = new IpCache();
  const pod = parsePrefix("10.0.0.7/32");
  const entry = (identity: number, source: IpCacheEntry["source"]): IpCacheEntry => ({
    identity,
    source,
    encryptKey: 0,
    skipTunnel: false,
  });
  expect(cache.upsert(pod, entry(30001, "custom-resource"))).toBe(true);
  expect(cache.upsert(pod, entry(30002, "k8s"))).toBe(false);
  expect(cache.upsert(pod, entry(30003, "kvstore"))).toBe(true);
  expect(cache.delete(pod, "k8s")).toBe(false);
  expect(cache.get(pod)?.identity).toBe(30003);
  expect(cache.delete(pod, "local")).toBe(true);
  expect(allowsOverwrite("unspec", "restored")).toBe(true);
});

describe("labels of ranges", () => {
  const settings = { dualStack: false, cidrMatchesNodes: false, nodeLabels: false };
  const tables = (): {
    cache: IpCache;
    metadata: PrefixMetadata;
    labels: Map<number, LabelSet>;
  } => {
    const cache = new IpCache();
    const labels = new Map<number, LabelSet>();
    const metadata = new PrefixMetadata(cache, settings, (added, deleted) => {
      for (const [identity, each] of added) labels.set(identity, each);
      for (const identity of deleted) labels.delete(identity);
    });
    return { cache, metadata, labels };
  };
  const info = (text: string, source: IpCacheEntry["source"] = "generated") => ({
    source,
    labels: labelsOf(text),
  });
  const of = (prefix: Prefix) => cidrLabels(prefix, false);

  test("a narrower range has what wider ones have, but of ranges its own label alone", () => {
    const { cache, metadata, labels } = tables();
    const [wide, narrow, host] = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32"].map((text) =>
      parsePrefix(text),
    ) as [Prefix, Prefix, Prefix];
    metadata.upsert(wide, "policy", { source: "generated", labels: of(wide) });
    metadata.upsert(narrow, "group", info("cidrgroup:io.cilium.policy.cidrgroupname/bad"));
    metadata.upsert(host, "dns", info("fqdn:api.example.com"));
    metadata.inject();
    const textOf = (prefix: Prefix) =>
      printLabels(labels.get(cache.get(prefix)?.identity ?? -1) ?? []);
    expect(textOf(host)).toEqual([
      "cidr:10.0.0.0/8",
      "cidrgroup:io.cilium.policy.cidrgroupname/bad",
      "fqdn:api.example.com",
      "reserved:world",
    ]);
    metadata.upsert(narrow, "policy", { source: "generated", labels: of(narrow) });
    metadata.inject();
    expect(textOf(host)).toContain("cidr:10.1.0.0/16");
    expect(textOf(host)).not.toContain("cidr:10.0.0.0/8");
    metadata.remove(wide, "policy");
    metadata.inject();
    expect(cache.get(wide)).toBeUndefined();
    expect(labels.size).toBe(2);
  });

  test("nodes are not the world; the API server among them is 7, and outside an identity of its own", () => {
    const { cache, metadata, labels } = tables();
    const node = parsePrefix("192.168.0.12/32");
    const outside = parsePrefix("203.0.113.5/32");
    metadata.upsert(parsePrefix("192.168.0.0/16"), "policy", {
      source: "generated",
      labels: of(parsePrefix("192.168.0.0/16")),
    });
    metadata.upsert(node, "node", {
      ...info("reserved:remote-node", "custom-resource"),
      tunnelEndpoint: parseIp("192.168.0.12"),
    });
    metadata.upsert(outside, "endpoints", info("reserved:kube-apiserver", "kube-apiserver"));
    metadata.inject();
    expect(cache.get(node)).toMatchObject({ identity: 6, source: "custom-resource" });
    metadata.upsert(node, "endpoints", info("reserved:kube-apiserver", "kube-apiserver"));
    metadata.inject();
    expect(cache.get(node)).toMatchObject({ identity: 7, source: "kube-apiserver" });
    const identity = cache.get(outside)?.identity ?? -1;
    expect(scopeOf(identity)).toBe(IDENTITY_SCOPE.local);
    expect(printLabels(labels.get(identity) ?? [])).toEqual([
      "reserved:kube-apiserver",
      "reserved:world",
    ]);
  });

  test("all addresses are the world itself", () => {
    const { cache, metadata } = tables();
    const all = parsePrefix("0.0.0.0/0");
    metadata.upsert(all, "policy", { source: "generated", labels: of(all) });
    metadata.inject();
    expect(cache.get(all)?.identity).toBe(2);
  });

  test("the node's own addresses are the host, with all that is said of any of them", () => {
    const { cache, metadata, labels } = tables();
    const [one, other] = [parsePrefix("192.168.0.11/32"), parsePrefix("10.0.0.1/32")];
    metadata.upsert(one, "node", info("reserved:host", "local"));
    metadata.upsert(other, "node", info("reserved:host", "local"));
    metadata.upsert(one, "endpoints", info("reserved:kube-apiserver", "kube-apiserver"));
    metadata.inject();
    expect([cache.get(one)?.identity, cache.get(other)?.identity]).toEqual([1, 1]);
    expect(printLabels(labels.get(1) ?? [])).toEqual(["reserved:host", "reserved:kube-apiserver"]);
    metadata.remove(one, "endpoints");
    metadata.inject();
    expect(printLabels(labels.get(1) ?? [])).toEqual(["reserved:host"]);
  });

  test("whatever is said and taken back, no identity stays that no range has", () => {
    const prefix = fc.constantFrom("10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "0.0.0.0/0");
    const step = fc.record({ prefix, resource: fc.constantFrom("a", "b"), add: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        const { cache, metadata, labels } = tables();
        for (const { prefix: text, resource, add } of steps) {
          const at = parsePrefix(text);
          if (add) metadata.upsert(at, resource, { source: "generated", labels: of(at) });
          else metadata.remove(at, resource);
          metadata.inject();
          const used = [...cache.entries()].map(([, { identity }]) => identity);
          expect(new Set(labels.keys())).toEqual(new Set(used.filter((each) => each !== 2)));
        }
      }),
    );
  });
});
