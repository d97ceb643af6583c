import { Bridge, Datapath, datapathsOf, type NetNamespace, Veth } from "@cnilab/linux";
import { type Mac, tryParseMac } from "@cnilab/net";
import { WEAVE_BRIDGE } from "../bridge/bridge-rules.ts";
import type { PeerName } from "../mesh/peer-name.ts";
import { WeaverError } from "../weaver/weaver-error.ts";
import { configureArpCache, refuseRouterAdvertisements } from "./arp-cache.ts";

/** The bridge's port to the other peers. */
export const BRIDGE_PORT = "vethwe-bridge";
/** Its other end, where sleeve captures and injects frames. */
export const PCAP_PORT = "vethwe-pcap";
/** Its other end, a port of the datapath. */
export const DATAPATH_PORT = "vethwe-datapath";
export const DATAPATH = "datapath";

/** What joins containers to the overlay, as the `weave` script names it (net/bridge.go). */
export type BridgeKind = "bridge" | "bridged_fastdp";

/** 1460 as clouds have it, without headers of IPv4, UDP, VXLAN and the inner Ethernet, and 34 for ESP. */
const FASTDP_MTU = 1376;
/** Sleeve finds out what the way takes. */
const PCAP_MTU = 65_535;

export interface BridgeConfig {
  readonly kind: BridgeKind;
  /** The bridge's MAC. */
  readonly name: PeerName;
  /** `--mtu`; the kind's own where it is absent. */
  readonly mtu?: number;
}

export function bridgeMtu({ kind, mtu }: Pick<BridgeConfig, "kind" | "mtu">): number {
  return mtu ?? (kind === "bridge" ? PCAP_MTU : FASTDP_MTU);
}

/** Makes what is missing of the node's devices (net/bridge.go EnsureBridge). @throws WeaverError where those that are there are of another kind */
export function ensureBridge(netns: NetNamespace, config: BridgeConfig): void {
  const existing = existingKind(netns);
  if (existing !== undefined && existing !== config.kind) {
    throw new WeaverError(
      `Existing bridge type "${existing}" is different than requested "${config.kind}". Please do 'weave reset' and try again`,
    );
  }
  const mtu = bridgeMtu(config);
  const datapath = config.kind === "bridge" ? undefined : ensureDatapath(netns);
  datapath?.local.dev.setMtu(mtu);
  const bridge = ensureLinuxBridge(netns, config.name);
  const peer = datapath === undefined ? PCAP_PORT : DATAPATH_PORT;
  connect(bridge, peer, mtu);
  if (datapath !== undefined) {
    if (datapath.portByName(peer) === undefined) datapath.addNetdev(peer);
    datapath.local.dev.setUp();
  }
  refuseRouterAdvertisements(netns, WEAVE_BRIDGE);
  bridge.setUp();
  configureArpCache(netns, WEAVE_BRIDGE);
}

/** `undefined` where there is none yet. @throws WeaverError where the device of that name is no bridge */
function existingKind(netns: NetNamespace): BridgeKind | undefined {
  const bridge = netns.findDevice(WEAVE_BRIDGE);
  const hasDatapath = netns.findDevice(DATAPATH) !== undefined;
  if (bridge === undefined && !hasDatapath) return undefined;
  if (bridge instanceof Bridge) return hasDatapath ? "bridged_fastdp" : "bridge";
  throw new WeaverError(
    "Inconsistent bridge state detected. Please do 'weave reset' and try again",
  );
}

function ensureDatapath(netns: NetNamespace): Datapath {
  return datapathsOf(netns).get(DATAPATH) ?? new Datapath(netns, DATAPATH);
}

function ensureLinuxBridge(netns: NetNamespace, name: PeerName): Bridge {
  const existing = netns.findDevice(WEAVE_BRIDGE) as Bridge | undefined;
  const bridge = existing ?? new Bridge(netns, { name: WEAVE_BRIDGE });
  bridge.setMac(tryParseMac(name) as Mac);
  return bridge;
}

function connect(bridge: Bridge, peerName: string, mtu: number): void {
  const { netns } = bridge;
  const existing = netns.findDevice(BRIDGE_PORT);
  const [port, peer] =
    existing instanceof Veth
      ? [existing, existing.peer]
      : Veth.pair(netns, { name: BRIDGE_PORT, mtu }, netns, { name: peerName, mtu });
  port.setMaster(bridge);
  for (const { name } of [port, peer as Veth]) refuseRouterAdvertisements(netns, name);
  peer?.setUp();
  port.setUp();
}
