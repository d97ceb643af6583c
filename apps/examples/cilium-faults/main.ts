// Four things that go wrong on Cilium, and what an operator sees of them in Hubble and in eBPF maps: `npm run cilium-faults` in this folder.
import { agentIdentities, CILIUM_RESOURCES, cilium } from "@cnilab/cilium";
import { CiliumAgent, ClusterSecurity } from "@cnilab/cilium/agent";
import { bpfOutput, identityLabels } from "@cnilab/cilium/dbg";
import { FilterFlags, type Flow, FlowPrinter, flowPredicate, Hubble } from "@cnilab/cilium/hubble";
import { type Cluster, createCluster, parseManifests } from "@cnilab/cluster";
import type { CniOptionValues, Kind, KubeObject } from "@cnilab/core";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import { type NetNamespace, TcpConnection } from "@cnilab/linux";
import { parseIp } from "@cnilab/net";

function pod(name: string, node: string, labels: string): string {
  return `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: default, labels: {${labels}}}
spec: {nodeName: ${node}, containers: [{name: c, ports: [{containerPort: 8080}]}]}
---`;
}

function ingress(rules: string): string {
  return `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: db, namespace: default}
spec: {endpointSelector: {matchLabels: {app: db}}, ingress: [${rules}]}
---`;
}

function service(name: string, clusterIp: string): string {
  return `
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: default}
spec: {clusterIP: ${clusterIp}, selector: {app: db}, ports: [{port: 80, targetPort: 8080}]}
`;
}

const FROM_WEB = "{fromEndpoints: [{matchLabels: {app: web}}]}";
/** Who asks is on node1; whom they ask is on node2, and lets app=web in. */
const START = `${pod("web1", "node1", "app: web")}${pod("db", "node2", "app: db")}`;
/** Types of flows, as `observe --type` has them. */
const DECISIONS = ["policy-verdict", "drop"];
const TRANSLATIONS = ["drop", "trace-sock"];
/** Lines of a policy map that say who it is. */
const RULES = /^(POLICY|Allow|Deny)|^ +k8s:(app|version)=/;

/** An identity that node2's agent has not heard of has no entry in the policy map of db. */
async function identityNotToldOf(): Promise<void> {
  heading("# An identity that is not told of yet");
  const lab = await Lab.start(START + ingress(FROM_WEB));
  lab.says("Before: web1 is let in by the entry of its identity");
  lab.connect("web1");
  lab.show("policy", "default/db");

  lab.late("CiliumIdentity.cilium.io", 60_000);
  lab.apply(pod("web2", "node1", "app: web, version: v2"));
  lab.wait(10_000);
  lab.says("Meanwhile: web2 has a label more, so a new identity, of which node2 hears in a minute");
  lab.connect("web2");
  lab.show("policy", "default/db");
  lab.show("ipcache", "web2");

  lab.wait(60_000);
  lab.says("After: node2 has heard of it");
  lab.connect("web2");
  lab.show("policy", "default/db");
}

/** Without a tunnel nobody says who sends: the receiver looks the address up. */
async function staleIpcache(): Promise<void> {
  heading("# An ipcache that is stale");
  const native = { routingMode: "native", autoDirectNodeRoutes: true };
  const lab = await Lab.start(START + ingress(FROM_WEB), native);
  for (const kind of ["Pod", "CiliumEndpoint.cilium.io"] as const) lab.late(kind, 60_000);
  lab.apply(pod("web2", "node1", "app: web"));
  lab.wait(10_000);
  lab.says("Before: web1 has an entry of its own");
  lab.connect("web1");
  lab.show("ipcache", "web1");

  lab.says("Meanwhile: web2 has web1's identity, but for node2 its address is the world's still");
  lab.connect("web2");
  lab.show("ipcache", "web2");

  lab.wait(60_000);
  lab.says("After: node2 has heard of web2");
  lab.connect("web2");
  lab.show("ipcache", "web2");
}

/** What a map has no room for is missing in it, and the agent says so. */
async function fullMaps(): Promise<void> {
  heading("# Maps that are full");
  const ranges = (count: number) =>
    `{fromCIDR: [${Array.from({ length: count }, (_, i) => `203.${i >> 8}.${i & 255}.0/24`)}]}`;
  const lab = await Lab.start(START + ingress(FROM_WEB), {
    "bpf.policyMapMax": 256,
    "bpf.lbMapMax": 7,
    kubeProxyReplacement: true,
  });
  lab.says("Before: all fits");
  lab.connect("web1");
  lab.sizes();

  lab.apply(ingress(`${ranges(400)}, ${FROM_WEB}`));
  for (const [i, name] of ["two", "three", "four"].entries()) {
    lab.apply(service(name, `10.96.0.${52 + i}`));
    await lab.settled();
  }
  lab.says("Meanwhile: db's policy has 400 ranges besides, and db has three Services more");
  lab.warnings();
  lab.connect("web1");
  lab.sizes();
  lab.show("policy", "default/db", / k8s:app=web/);
  lab.connect("web1", TRANSLATIONS, "10.96.0.54:80");
  lab.show("lb", "list", /^10\.96\.0\.5[0-4]:/);

  lab.apply(ingress(`${ranges(10)}, ${FROM_WEB}`));
  lab.delete("Service", "default/two");
  await lab.settled();
  lab.says("After: ten ranges, and a Service less");
  lab.warnings();
  lab.connect("web1");
  lab.sizes();
  lab.show("policy", "default/db", / k8s:app=web/);
  lab.connect("web1", TRANSLATIONS, "10.96.0.54:80");
  lab.show("lb", "list", /^10\.96\.0\.5[0-4]:/);
}

/** Programs and maps are the kernel's: they decide as before while nobody writes into the maps. */
async function agentAway(): Promise<void> {
  heading("# An agent that starts again");
  const lab = await Lab.start(START + ingress(FROM_WEB));
  const WAY = ["policy-verdict", "drop", "trace:to-overlay"];
  lab.says("Before: web1 has an open connection to db");
  const open = lab.open("web1", "db");
  const its = new RegExp(`:${open.localPort} `);
  lab.send(open, WAY);
  lab.show("ct", "list", its);

  lab.agent("node2").stop();
  lab.apply(pod("web2", "node1", "app: web, version: v2"));
  lab.wait(60_000);
  lab.says("Meanwhile: node2's agent is away, its Hubble with it; web2 has a new identity");
  lab.send(open, WAY);
  lab.show("ct", "list", its);
  lab.connect("web1", WAY);
  lab.connect("web2", WAY);
  lab.show("policy", "default/db");
  lab.show("ipcache", "web2");

  lab.agent("node2").start();
  lab.wait(60_000);
  lab.says("After: it is back, and the maps are those of before");
  lab.send(open, WAY);
  lab.show("ct", "list", its);
  lab.connect("web2");
  lab.show("policy", "default/db");
  lab.show("ipcache", "web2");
}

/** A cluster of two nodes, looked at from node2 as its operator does. */
class Lab {
  readonly cluster: Cluster;
  readonly #hubble: Hubble;
  readonly #printer = new FlowPrinter({ format: "compact", nodeName: true });

  private constructor(cluster: Cluster) {
    this.cluster = cluster;
    const nodes = new Map([...cluster.nodes].map(([name, { kernel }]) => [name, kernel] as const));
    this.#hubble = new Hubble({
      network: cluster.network,
      api: cluster.api,
      nodes,
      identities: agentIdentities(nodes),
    });
  }

  static async start(manifests: string, cniOptions: CniOptionValues = {}): Promise<Lab> {
    const cluster = createCluster({
      nodes: 2,
      cni: cilium,
      cniOptions,
      register: (root) => {
        if (cniOptions["kubeProxyReplacement"] !== true) registerKubeProxy(root);
      },
    });
    cluster.apply(objectsOf(manifests));
    await cluster.settled();
    return new Lab(cluster);
  }

  says(text: string): void {
    console.log(`\n${text}`);
  }

  /** Agents hear of objects of this kind so much later. */
  late(kind: Kind, ms: number): void {
    this.agent("node1").cluster.part(ClusterSecurity).propagation.delay(kind, ms);
  }

  apply(manifests: string): void {
    this.cluster.apply(objectsOf(manifests));
  }

  delete(kind: "Service", name: string): void {
    this.cluster.api.delete(kind, name);
  }

  wait(ms: number): void {
    this.cluster.clock.advance(ms);
  }

  settled(): Promise<unknown> {
    return this.cluster.settled();
  }

  agent(node: string): CiliumAgent {
    const machine = this.cluster.nodes.get(node)?.kernel;
    const agent = machine && CiliumAgent.of(machine);
    if (agent === undefined) throw new Error(`${node} has no agent`);
    return agent;
  }

  /** A pod asks db. */
  connect(pod: string, types: readonly string[] = DECISIONS, whom = "default/db:8080"): void {
    const { cluster } = this;
    const to = cluster.endpoint(whom);
    this.#observe(types, () => {
      const { verdict } = cluster.connect({ from: cluster.endpoint(`default/${pod}`), to });
      return `${pod} asks ${whom.replace("default/db:8080", "db")}: ${verdict}`;
    });
  }

  /** `cnilab observe` of what somebody does, and says then. */
  #observe(types: readonly string[], act: () => string): void {
    const flags = new FilterFlags();
    for (const type of types) flags.add("type", type);
    const { allow, deny } = flags.filters();
    const passes = flowPredicate(allow, deny);
    const flows: Flow[] = [];
    const stop = this.#hubble.follow((flow) => passes(flow) && flows.push(flow));
    console.log(act());
    stop();
    console.log(`> observe ${types.map((type) => `--type ${type}`).join(" ")} --print-node-name`);
    for (const flow of flows) {
      const { node_name = "", time = "" } = flow;
      line(this.#printer.print({ flow, node_name, time }));
    }
  }

  /** A connection that stays open. */
  open(from: string, to: string): TcpConnection {
    const options = { dst: parseIp(this.#address(to)), port: 8080, owner: from };
    const connection = TcpConnection.connect(this.#sandbox(from), options);
    if (connection instanceof TcpConnection) return connection;
    throw new Error(connection.message);
  }

  send(connection: TcpConnection, types: readonly string[]): void {
    this.#observe(types, () => {
      const { acknowledged } = connection;
      connection.send(100);
      const bytes = connection.acknowledged - acknowledged;
      return `${bytes} of 100 bytes arrive, the connection is ${connection.state}`;
    });
  }

  /**
   * `cnilab show bpf` of node2.
   * @param which the endpoint; of the ipcache a pod: what its address has, and what the range of its node
   * @param only lines of these alone
   */
  show(map: "ct" | "ipcache" | "lb" | "policy", which: string, only?: RegExp): void {
    const words = map === "ipcache" ? [map, "list"] : [map, which];
    console.log(`> show bpf ${words.join(" ")} --node node2`);
    const address = map === "ipcache" ? this.#address(which).replaceAll(".", "\\.") : "";
    const filter =
      only ?? (map === "ipcache" ? new RegExp(`^(${address}/32|10.244.0.0/24) `) : RULES);
    for (const each of this.#bpf(words).split("\n")) if (filter.test(each)) line(each);
  }

  /** How full the maps of policies and of Services are. */
  sizes(): void {
    console.log("> show bpf --node node2");
    const id = this.agent("node2").endpoints.byPod("default/db")?.id ?? 0;
    const policy = `cilium_policy_v2_${String(id).padStart(5, "0")}`;
    const names = ["Name", "cilium_lb4_services_v2", policy];
    for (const each of this.#bpf([]).split("\n")) {
      if (names.some((name) => each.startsWith(`${name} `))) line(each);
    }
  }

  warnings(): void {
    for (const warning of this.cluster.warnings) line(`warning: ${warning}`);
  }

  #bpf(words: readonly string[]): string {
    const { api, nodes } = this.cluster;
    const kernel = nodes.get("node2")?.kernel;
    if (kernel === undefined) throw new Error("there is no node2");
    const { text } = bpfOutput(kernel, words, {
      labelsOf: identityLabels(api),
      addressesOf: (name) => api.get("Pod", name)?.status?.podIPs?.map(({ ip }) => ip) ?? [],
    });
    return text;
  }

  #address(name: string): string {
    return this.cluster.api.get("Pod", `default/${name}`)?.status?.podIP ?? "";
  }

  #sandbox(name: string): NetNamespace {
    const { metadata } = this.cluster.api.get("Pod", `default/${name}`) ?? {};
    const sandbox = this.cluster.nodes.get("node1")?.kubelet.sandboxOf(metadata?.uid ?? "");
    if (sandbox === undefined) throw new Error(`${name} has no network`);
    return sandbox;
  }
}

function objectsOf(manifests: string): KubeObject[] {
  return parseManifests(manifests, "cilium-faults", { resources: CILIUM_RESOURCES }).objects;
}

function heading(text: string): void {
  console.log(`\n${text}`);
}

function line(text: string): void {
  console.log(`  ${text.trimEnd()}`);
}

await identityNotToldOf();
await staleIpcache();
await fullMaps();
await agentAway();
