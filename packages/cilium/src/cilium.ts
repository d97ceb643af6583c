import { CniBridgeEngine, PLUGINS, watchedNetworkList } from "@cnilab/cni-plugins";
import {
  BRIDGE,
  CLUSTER,
  type ClusterConfig,
  type ClusterContext,
  type ClusterController,
  type CniModel,
  type CniOptionValues,
  type CniPlugin,
  CONTROLLERS,
  type DependencyContainer,
  IPAM,
  NODE,
  type NodeContext,
  OVERLAY,
  POLICY,
  perNode,
} from "@cnilab/core";
import type { Kernel } from "@cnilab/linux";
import { CiliumAgent } from "./agent/cilium-agent.ts";
import { CiliumNodes } from "./agent/cilium-nodes.ts";
import { ClusterCilium } from "./agent/cluster-cilium.ts";
import { OwnCiliumNode } from "./agent/own-cilium-node.ts";
import { CiliumPolicyEngine } from "./agent/policy/cilium-policy-engine.ts";
import { policySettings } from "./agent/policy/cluster-security.ts";
import { ciliumPolicyReader } from "./analyse/policy-reader.ts";
import { CILIUM_RESOURCES } from "./api/resources.ts";
import { CiliumCni } from "./cni/cilium-cni.ts";
import { CONFLIST_FILE, CONFLIST_TEXT } from "./cni/conflist.ts";
import { type AddressSource, DEFAULT_POOL } from "./ipam/address-source.ts";
import { CiliumIpam } from "./ipam/cilium-ipam.ts";
import { MultiPoolSource } from "./ipam/multi-pool-source.ts";
import { PodCidrSource } from "./ipam/pod-cidr-source.ts";
import { poolOfPod } from "./ipam/pod-pool.ts";
import { ciliumNodeRanges, kubernetesRanges } from "./ipam/range-finders.ts";
import { ClusterPoolOperator } from "./operator/cluster-pool.ts";
import { IdentityCollector } from "./operator/identity-collector.ts";
import { MultiPoolOperator } from "./operator/multi-pool.ts";
import { NodeCollector } from "./operator/node-collector.ts";
import { PolicyValidator } from "./operator/policy-validator.ts";
import type { AgentConfig } from "./options/agent-config.ts";
import { CHART_SECTIONS } from "./options/chart-sections.ts";
import { HELM_OPTIONS } from "./options/helm-options.ts";
import { readHelmOptions } from "./options/read-helm-options.ts";
import { RELEASE } from "./release.ts";

/** Cilium as its Helm chart sets it up; options are the chart's values. */
export const cilium: CniModel = {
  name: "cilium",
  release: RELEASE,
  description:
    "eBPF programs on pods' and nodes' devices: identities, VXLAN, Geneve or native routing, Services, policies, WireGuard",
  options: HELM_OPTIONS,
  chartSections: CHART_SECTIONS,
  resources: CILIUM_RESOURCES,
  replacesKubeProxy: (options) => options["kubeProxyReplacement"] === true,
  policyReader: ciliumPolicyReader,
  register,
};

function register(
  container: DependencyContainer,
  options: CniOptionValues,
  config: ClusterConfig,
): void {
  const cluster = new ClusterCilium(readHelmOptions(options, config), config);
  const ipams = perNode((node: DependencyContainer) =>
    makeIpam(node.resolve(NODE) as NodeContext<Kernel>, cluster),
  );
  container.register(IPAM, ipams);
  const agents = perNode((node: DependencyContainer) =>
    makeAgent(node.resolve(NODE) as NodeContext<Kernel>, cluster, ipams.useFactory(node)),
  );
  container.register(OVERLAY, agents);
  container.register(
    POLICY,
    perNode((node) => new CiliumPolicyEngine(agents.useFactory(node))),
  );
  container.register(
    BRIDGE,
    perNode((node) => makeBridge(node)),
  );
  registerOperator(container, cluster.config);
}

/** cilium-operator, and what Kubernetes' own garbage collector does for it. */
function registerOperator(container: DependencyContainer, config: AgentConfig): void {
  const add = (make: (context: ClusterContext) => ClusterController) =>
    container.register(CONTROLLERS, {
      useFactory: (root: DependencyContainer) => make(root.resolve(CLUSTER)),
    });
  add(({ api, clock }) => new PolicyValidator(api, clock, policySettings(config)));
  add(({ api, clock }) => new IdentityCollector(api, clock));
  add((context) => new NodeCollector(context));
  const { mode } = config.ipam;
  if (mode === "cluster-pool") add((context) => new ClusterPoolOperator(context, config));
  if (mode === "multi-pool") add((context) => new MultiPoolOperator(context, config));
}

function makeIpam(node: NodeContext<Kernel>, cluster: ClusterCilium): CiliumIpam {
  const { config } = cluster;
  return new CiliumIpam({
    families: config.families,
    source: () => makeSource(node, cluster),
    healthAddresses: config.endpointHealthChecking,
    nodeAddresses: node.addresses,
    former: () => new OwnCiliumNode(node, config).formerAddresses(),
    poolOf: (request, family) =>
      config.ipam.mode === "multi-pool" ? poolOfPod(node.api, request, family) : DEFAULT_POOL,
  });
}

function makeSource(node: NodeContext<Kernel>, cluster: ClusterCilium): AddressSource {
  const { families, ipam } = cluster.config;
  const random = node.random.fork("cilium-ipam");
  switch (ipam.mode) {
    case "cluster-pool":
      return new PodCidrSource(families, ciliumNodeRanges(node.name, cluster), random);
    case "kubernetes":
      return new PodCidrSource(families, kubernetesRanges(node, families), random);
    case "multi-pool":
      return new MultiPoolSource({
        families,
        random,
        clock: node.clock,
        preAllocation: ipam.preAllocation,
        watch: (listener) => cluster.part(CiliumNodes).listenTo(node.name, listener),
        ciliumNode: new OwnCiliumNode(node, cluster.config),
      });
  }
}

function makeAgent(
  node: NodeContext<Kernel>,
  cluster: ClusterCilium,
  ipam: CiliumIpam,
): CiliumAgent {
  const installCni = () => node.machine.files.write(CONFLIST_FILE, CONFLIST_TEXT);
  return new CiliumAgent({ node, cluster, ipam, installCni });
}

/** Pods are joined by the CNI plugins of the conflist, with the IPAM that is registered. */
function makeBridge(container: DependencyContainer): CniBridgeEngine {
  const { machine } = container.resolve(NODE) as NodeContext<Kernel>;
  const ipam = container.isRegistered(IPAM, true) ? container.resolve(IPAM) : undefined;
  const plugins = new Map<string, CniPlugin>(PLUGINS);
  plugins.set("cilium-cni", new CiliumCni());
  const network = watchedNetworkList(machine.files, CONFLIST_FILE);
  return new CniBridgeEngine({ machine, network, plugins, ...(ipam !== undefined && { ipam }) });
}
