import { CniBridgeEngine, CONFIG_FOLDER, watchedNetworkList } from "@cnilab/cni-plugins";
import {
  BRIDGE,
  type ClusterConfig,
  type CniModel,
  type CniOptionValues,
  type DependencyContainer,
  IPAM,
  type NetworkConfigList,
  NODE,
  type NodeContext,
  OVERLAY,
  perNode,
} from "@cnilab/core";
import type { Kernel } from "@cnilab/linux";
import { WindowsMachine } from "@cnilab/windows";
import { DEFAULT_OPTIONS, type FlanneldOptions } from "./conf/flanneld-options.ts";
import type { NetConf } from "./conf/net-conf.ts";
import { Flanneld } from "./flanneld.ts";
import { annotationNames } from "./lease/annotations.ts";
import { KubeSubnetManager } from "./lease/kube-subnet-manager.ts";
import { NodeLeases } from "./lease/node-leases.ts";
import { MODEL_OPTIONS, netConfFor } from "./model-options.ts";
import { reserveSourceVip, windowsConflist } from "./windows/windows-node.ts";

/** Release that this package models. */
export const RELEASE = "v0.28.9";

/** What the kube-flannel DaemonSet's init container puts on every node (Documentation/kube-flannel.yml). */
export const CONFLIST: NetworkConfigList = {
  name: "cbr0",
  cniVersion: "0.3.1",
  plugins: [
    { type: "flannel", delegate: { hairpinMode: true, isDefaultGateway: true } },
    { type: "portmap", capabilities: { portMappings: true } },
  ],
};

const CONFLIST_FILE = `${CONFIG_FOLDER}/10-flannel.conflist`;

/** Flannel as its manifest for Kubernetes sets it up. */
export const flannel: CniModel = {
  name: "flannel",
  release: RELEASE,
  description:
    "a subnet a node, and a simple way between them: vxlan, host-gw, udp, ipip, wireguard",
  options: MODEL_OPTIONS,
  operatingSystems: ["linux", "windows"],
  register,
};

/** What all nodes of a cluster have in common. */
interface ClusterShare {
  readonly conf: NetConf;
  readonly flags: FlanneldOptions;
  readonly leases: NodeLeases;
  readonly config: ClusterConfig;
}

function register(
  container: DependencyContainer,
  options: CniOptionValues,
  config: ClusterConfig,
): void {
  const flags: FlanneldOptions = {
    ...DEFAULT_OPTIONS,
    kubeSubnetMgr: true,
    ipMasq: options["ipMasq"] !== false,
    iface: options["iface"] === undefined ? [] : [String(options["iface"])],
  };
  const conf = netConfFor(config, options);
  const leases = new NodeLeases(annotationNames(flags.kubeAnnotationPrefix), conf);
  const share: ClusterShare = { conf, flags, leases, config };
  container.register(
    OVERLAY,
    perNode((node) => makeFlanneld(node.resolve(NODE) as NodeContext<Kernel>, share)),
  );
  container.register(
    BRIDGE,
    perNode((node) => makeBridge(node)),
  );
}

function makeFlanneld(node: NodeContext<Kernel>, share: ClusterShare): Flanneld {
  const { machine } = node;
  const { conf, flags, leases } = share;
  machine.files.write(CONFLIST_FILE, conflistFor(node, share));
  return new Flanneld({
    netns: machine.initNs,
    files: machine.files,
    clock: node.clock,
    random: node.random.fork("flanneld"),
    conf,
    // On Windows the deployment starts it without --ip-masq (kubernetes-sigs/sig-windows-tools).
    options: { ...flags, ipMasq: flags.ipMasq && machine.os === "linux" },
    subnetManager: () => new KubeSubnetManager(node.api, node.name, conf, leases, flags),
    prepared: ({ subnet }) => {
      if (!(machine instanceof WindowsMachine) || subnet === undefined) return;
      if (conf.backend.type === "vxlan") reserveSourceVip(machine, conf.backend, subnet);
    },
  });
}

function conflistFor({ machine }: NodeContext<Kernel>, { conf, config }: ClusterShare): string {
  return machine.os === "windows" ? textOf(windowsConflist(conf, config)) : CONFLIST_TEXT;
}

function textOf(list: NetworkConfigList): string {
  return `${JSON.stringify(list, undefined, 2)}\n`;
}

const CONFLIST_TEXT = textOf(CONFLIST);

/** Pods are joined by the CNI plugins, with another IPAM where one is registered. */
function makeBridge(container: DependencyContainer): CniBridgeEngine {
  const { machine } = container.resolve(NODE) as NodeContext<Kernel>;
  const ipam = container.isRegistered(IPAM, true) ? container.resolve(IPAM) : undefined;
  const network = watchedNetworkList(machine.files, CONFLIST_FILE);
  return new CniBridgeEngine({ machine, network, ...(ipam === undefined ? {} : { ipam }) });
}
