import { CniBridgeEngine, PLUGINS, watchedNetworkList } from "@cnilab/cni-plugins";
import {
  BRIDGE,
  type ClusterConfig,
  type CniModel,
  type CniOptionValues,
  type CniPlugin,
  type DependencyContainer,
  IPAM,
  NODE,
  type NodeContext,
  OVERLAY,
  POLICY,
  perNode,
} from "@cnilab/core";
import type { Kernel } from "@cnilab/linux";
import { weavePolicyReader } from "./analyse/policy-reader.ts";
import { CONFLIST_FILE } from "./cni/conflist.ts";
import { WeaveIpam } from "./cni/weave-ipam.ts";
import { WeaveNet } from "./cni/weave-net.ts";
import { WeaveKube } from "./kube/weave-kube.ts";
import { ipallocRange, MODEL_OPTIONS, weaverConfig } from "./model-options.ts";
import { NpcSharing } from "./npc/npc-sharing.ts";
import { WeaveNpc } from "./npc/weave-npc.ts";
import { RELEASE } from "./release.ts";
import type { WeaverConfig } from "./weaver/weaver-config.ts";

/** Weave Net as its DaemonSet for Kubernetes sets it up; options are weaver's flags. */
export const weave: CniModel = {
  name: "weave",
  release: RELEASE,
  description:
    "one switched network over all nodes by a mesh of peers: Open vSwitch or user space, IPAM without a store, weave-npc",
  options: MODEL_OPTIONS,
  podRanges: (options) => [ipallocRange(options)],
  policyReader: weavePolicyReader,
  register,
};

function register(
  container: DependencyContainer,
  options: CniOptionValues,
  cluster: ClusterConfig,
): void {
  const config = weaverConfig(options, cluster);
  const nodeOf = (node: DependencyContainer) => node.resolve(NODE) as NodeContext<Kernel>;
  // Where somebody else is put in weave-npc's place, weaver is told: else what is forwarded waits for chains that nobody fills, and is dropped.
  const configOf = (node: DependencyContainer): WeaverConfig => {
    const npc = node.isRegistered(POLICY, true) && node.resolve(POLICY) instanceof WeaveNpc;
    return { ...config, expectNpc: config.expectNpc && npc };
  };
  const ipams = perNode((node) => new WeaveIpam(configOf(node), nodeOf(node).clock));
  container.register(IPAM, ipams);
  container.register(
    OVERLAY,
    perNode((node) => new WeaveKube(nodeOf(node), configOf(node), ipams.useFactory(node))),
  );
  container.register(
    BRIDGE,
    perNode((node) => makeBridge(node, ipams.useFactory(node))),
  );
  if (!config.expectNpc) return;
  const sharing = new NpcSharing();
  container.register(
    POLICY,
    perNode((node) => new WeaveNpc(nodeOf(node), sharing)),
  );
}

/** Pods are joined by the CNI plugins of the conflist, with the IPAM that is registered. */
function makeBridge(container: DependencyContainer, weaver: WeaveIpam): CniBridgeEngine {
  const { machine } = container.resolve(NODE) as NodeContext<Kernel>;
  const ipam = container.isRegistered(IPAM, true) ? container.resolve(IPAM) : undefined;
  const plugins = new Map<string, CniPlugin>(PLUGINS);
  plugins.set("weave-net", new WeaveNet(weaver));
  const network = watchedNetworkList(machine.files, CONFLIST_FILE);
  return new CniBridgeEngine({ machine, network, plugins, ...(ipam !== undefined && { ipam }) });
}
