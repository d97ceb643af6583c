import { CniBridgeEngine, PLUGINS, watchedNetworkList } from "@cnilab/cni-plugins";
import {
  BRIDGE,
  CLUSTER,
  type ClusterConfig,
  type ClusterContext,
  type CniModel,
  type CniOption,
  type CniOptionValues,
  type CniPlugin,
  CONTROLLERS,
  type DependencyContainer,
  InputError,
  IPAM,
  NODE,
  type NodeContext,
  OVERLAY,
  perNode,
} from "@cnilab/core";
import type { Kernel } from "@cnilab/linux";
import { calicoPolicyReader } from "./analyse/policy-reader.ts";
import { CALICO_RESOURCES } from "./api/resources.ts";
import type { FelixConfigurationSpec } from "./api/v3/felix-configuration.ts";
import type { EncapsulationMode } from "./api/v3/ip-pool.ts";
import { BirdAgent, ClusterBgp } from "./bird/bird-agent.ts";
import { OutsidePeers } from "./bird/outside-peers.ts";
import { CalicoPlugin, NODENAME_FILE } from "./cni/calico-plugin.ts";
import { type CalicoIpamType, CONFLIST_FILE, conflist } from "./cni/conflist.ts";
import { registerFelixPolicy } from "./felix/register.ts";
import { CalicoIpam } from "./ipam/calico-ipam.ts";
import { IpamController } from "./ipam/ipam-controller.ts";
import { RELEASE } from "./release.ts";
import { CalicoNode } from "./routing/calico-node.ts";
import { ClusterRoutes } from "./routing/cluster-routes.ts";
import type { DefaultPools } from "./routing/startup.ts";

const ENCAPSULATIONS = ["IPIP", "IPIPCrossSubnet", "VXLAN", "VXLANCrossSubnet", "None"] as const;
export type CalicoEncapsulation = (typeof ENCAPSULATIONS)[number];

const BGP_MODES = ["mesh", "reflectors", "none"] as const;
export type CalicoBgpMode = (typeof BGP_MODES)[number];

const OPTIONS: readonly CniOption[] = [
  {
    key: "encapsulation",
    type: "string",
    values: ENCAPSULATIONS,
    default: "IPIP",
    description: "how packets get from node to node, of the pools that are made at the start",
  },
  {
    key: "bgp",
    type: "string",
    values: BGP_MODES,
    description:
      "every node a peer of every other (mesh), the first two as route reflectors, or no BIRD; mesh, but none with VXLAN, unless given",
  },
  {
    key: "dataplane",
    type: "string",
    values: ["Iptables", "Nftables"],
    description: "what Felix programs policies in (nftablesMode); as kube-proxy does unless given",
  },
  {
    key: "natOutgoing",
    type: "boolean",
    description:
      "hide pods behind their node where they leave the pools; true for IPv4 and false for IPv6 unless given",
  },
  {
    key: "mtu",
    type: "integer",
    description:
      "veth_mtu: of pods' interfaces and of tunnels; what the node's interfaces leave unless given",
  },
  {
    key: "wireguard",
    type: "boolean",
    description: "encrypt what goes from node to node (wireguardEnabled); false unless given",
  },
  {
    key: "ipam",
    type: "string",
    values: ["calico-ipam", "host-local"],
    default: "calico-ipam",
    description: "blocks of the pools, or each node's pod range",
  },
  {
    key: "ipam.blockSize",
    type: "integer",
    description: "bits of a block's prefix in IPv4, 20 to 32; 26 unless given",
  },
  {
    key: "ipam.blockSizeV6",
    type: "integer",
    description: "bits of a block's prefix in IPv6, 116 to 128; 122 unless given",
  },
];

/** Calico as its manifests for Kubernetes set it up. */
export const calico: CniModel = {
  name: "calico",
  release: RELEASE,
  description:
    "routed pods without bridges, addresses in blocks: IPIP, VXLAN, BGP, WireGuard; policies by Felix",
  options: OPTIONS,
  resources: CALICO_RESOURCES,
  policyReader: calicoPolicyReader,
  register,
};

/** What all nodes of a cluster have in common. */
interface ClusterShare {
  readonly config: ClusterConfig;
  readonly pools: DefaultPools;
  readonly mtu: number;
  readonly ipam: CalicoIpamType;
  readonly felixEnvironment: FelixConfigurationSpec;
  readonly clusterRoutes: ClusterRoutes;
  readonly bgpMode: CalicoBgpMode;
  readonly bgp: ClusterBgp;
}

function register(
  container: DependencyContainer,
  options: CniOptionValues,
  config: ClusterConfig,
): void {
  const ipam = (options["ipam"] ?? "calico-ipam") as CalicoIpamType;
  const share: ClusterShare = {
    config,
    ipam,
    pools: defaultPools(options),
    mtu: Number(options["mtu"] ?? 0),
    felixEnvironment: felixEnvironment(options, config),
    clusterRoutes: new ClusterRoutes(ipam === "host-local"),
    bgpMode: bgpMode(options),
    bgp: new ClusterBgp(ipam === "host-local"),
  };
  const ipams = perNode(
    (node: DependencyContainer) => new CalicoIpam({ node: node.resolve(NODE) }),
  );
  if (ipam === "calico-ipam") {
    container.register(IPAM, ipams);
    container.register(CONTROLLERS, { useFactory: makeIpamController });
  }
  registerFelixPolicy(container, share.felixEnvironment);
  container.register(
    OVERLAY,
    perNode((node) =>
      makeNode(node, share, ipam === "calico-ipam" ? ipams.useFactory(node) : undefined),
    ),
  );
  if (share.bgpMode !== "none") {
    container.register(CONTROLLERS, {
      useFactory: (root: DependencyContainer) =>
        new OutsidePeers(root.resolve(CLUSTER) as ClusterContext<Kernel>, share.bgp),
    });
  }
  container.register(
    BRIDGE,
    perNode((node) => makeBridge(node, share)),
  );
}

/** kube-controllers' part in IPAM. */
function makeIpamController(container: DependencyContainer): IpamController {
  const { api, clock } = container.resolve(CLUSTER);
  return new IpamController(api, clock);
}

/** As the manifests have it: those for VXLAN alone set `calico_backend: vxlan`. */
function bgpMode(options: CniOptionValues): CalicoBgpMode {
  const isVxlan = String(options["encapsulation"] ?? "").startsWith("VXLAN");
  return (options["bgp"] ?? (isVxlan ? "none" : "mesh")) as CalicoBgpMode;
}

/** @throws InputError */
function defaultPools(options: CniOptionValues): DefaultPools {
  const encapsulation = (options["encapsulation"] ?? "IPIP") as CalicoEncapsulation;
  const mode = (kind: "IPIP" | "VXLAN"): EncapsulationMode => {
    if (encapsulation === kind) return "Always";
    return encapsulation === `${kind}CrossSubnet` ? "CrossSubnet" : "Never";
  };
  const nat = options["natOutgoing"];
  return {
    ipipMode: mode("IPIP"),
    vxlanMode: mode("VXLAN"),
    vxlanModeV6: mode("VXLAN"),
    natOutgoing: nat !== false,
    natOutgoingV6: nat === true,
    blockSize: blockSize(options, "ipam.blockSize", 26, 20, 32),
    blockSizeV6: blockSize(options, "ipam.blockSizeV6", 122, 116, 128),
  };
}

function blockSize(
  options: CniOptionValues,
  key: string,
  preset: number,
  least: number,
  most: number,
): number {
  const size = Number(options[key] ?? preset);
  if (size >= least && size <= most) return size;
  throw new InputError(
    `Calico's option "${key}" is the prefix length of a block: ${least} to ${most}, not ${size}`,
  );
}

function nftablesMode(dataplane: unknown): FelixConfigurationSpec {
  if (dataplane === undefined) return {};
  return { nftablesMode: dataplane === "Nftables" ? "Enabled" : "Disabled" };
}

/** The environment of the manifest's DaemonSet, as far as it is Felix's. */
function felixEnvironment(
  options: CniOptionValues,
  { ipFamilies }: ClusterConfig,
): FelixConfigurationSpec {
  const mtu = Number(options["mtu"] ?? 0);
  if (mtu !== 0 && (mtu < 68 || mtu > 65535)) {
    throw new InputError(`Calico's option "mtu" is 68 to 65535 bytes, not ${mtu}`);
  }
  const families = options["wireguard"] === true ? ipFamilies : [];
  return {
    defaultEndpointToHostAction: "ACCEPT",
    ...nftablesMode(options["dataplane"]),
    ...(mtu !== 0 && { ipipMTU: mtu, vxlanMTU: mtu, vxlanMTUV6: mtu, wireguardMTU: mtu }),
    ...(families.includes(4) && { wireguardEnabled: true }),
    ...(families.includes(6) && { wireguardEnabledV6: true }),
  };
}

function makeNode(
  container: DependencyContainer,
  share: ClusterShare,
  tunnelIpam: CalicoIpam | undefined,
): CalicoNode {
  const { name, machine, api, clock, random } = container.resolve(NODE) as NodeContext<Kernel>;
  const { config, pools, felixEnvironment, clusterRoutes, bgp, bgpMode } = share;
  const families = config.ipFamilies;
  const netns = machine.initNs;
  const reflectors = bgpMode === "reflectors";
  return new CalicoNode({
    node: name,
    netns: machine.initNs,
    files: machine.files,
    api,
    clock,
    random: random.fork("calico-node"),
    config,
    clusterRoutes,
    pools,
    felixEnvironment,
    ...(tunnelIpam !== undefined && { tunnelIpam }),
    ...(bgpMode !== "none" && {
      bird: new BirdAgent({ node: name, netns, api, clock, families, bgp, reflectors }),
    }),
    installCni: () => installCni(machine, name, share),
  });
}

/** What the init container install-cni leaves on a node. */
function installCni({ files }: Kernel, node: string, { mtu, ipam, config }: ClusterShare): void {
  const families = config.ipFamilies;
  files.write(CONFLIST_FILE, conflist({ node, mtu, ipam, families, allowIpForwarding: false }));
}

/** Pods are joined by the CNI plugins of the conflist, with the IPAM that is registered. */
function makeBridge(container: DependencyContainer, share: ClusterShare): CniBridgeEngine {
  const { name, machine, api } = container.resolve(NODE) as NodeContext<Kernel>;
  const ipam = container.isRegistered(IPAM, true) ? container.resolve(IPAM) : undefined;
  // Under another network than Calico's nobody else does this, as in Canal.
  const overlay = container.isRegistered(OVERLAY, true) ? container.resolve(OVERLAY) : undefined;
  if (!(overlay instanceof CalicoNode)) {
    installCni(machine, name, share);
    machine.files.write(NODENAME_FILE, name);
  }
  const plugins = new Map<string, CniPlugin>(PLUGINS);
  plugins.set("calico", new CalicoPlugin({ api, node: name }));
  const network = watchedNetworkList(machine.files, CONFLIST_FILE);
  return new CniBridgeEngine({
    machine,
    network,
    plugins,
    ...(ipam !== undefined && { ipam }),
  });
}
