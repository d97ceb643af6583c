export { weavePolicyReader } from "./analyse/policy-reader.ts";
export {
  type BridgeRulesConfig,
  configureBridgeRules,
  exposeRules,
  NO_MASQ_LOCAL_SET,
  resetBridgeRules,
  WEAVE_BRIDGE,
} from "./bridge/bridge-rules.ts";
export { NoMasqLocalTracker } from "./bridge/no-masq-local.ts";
export type { WeaveIpam } from "./cni/weave-ipam.ts";
export {
  FastDatapath,
  type FastDatapathOptions,
  type FastDatapathStatus,
} from "./fastdp/fast-datapath.ts";
export type { Ipsec, IpsecConnection } from "./fastdp/ipsec.ts";
export {
  type AddressRange,
  biggestCidrRange,
  cidrs,
  formatRange,
  hostRange,
  rangeOf,
} from "./ipam/address-range.ts";
export { NO_CONTAINER_ID } from "./ipam/allocation.ts";
export {
  type AllocateRequest,
  Allocator,
  type AllocatorOptions,
  type ClaimRequest,
  type PersistedIpam,
  TICK_MS,
} from "./ipam/allocator.ts";
export { type DonorOrder, weightedDonors } from "./ipam/donors.ts";
export type { IpamGossip, IpamMessage, IpamState } from "./ipam/ipam-message.ts";
export type { Allocated, Claimed, Operation } from "./ipam/operation.ts";
export { type Owned, type OwnedAddress, OwnedAddresses } from "./ipam/owned-addresses.ts";
export type {
  AcceptedValue,
  NodeClaims,
  Participant,
  PaxosState,
  ProposalId,
} from "./ipam/paxos.ts";
export { Ring, type RingState } from "./ipam/ring.ts";
export type { RingEntry } from "./ipam/ring-entry.ts";
export { DifferentRange, DifferentSeeds, RingError } from "./ipam/ring-error.ts";
export { Space } from "./ipam/space.ts";
export { IpsecTunnels } from "./ipsec/ipsec-tunnels.ts";
export { WeaveKube } from "./kube/weave-kube.ts";
export { ConnectionMaker, type ConnectionMakerOptions } from "./mesh/connection-maker.ts";
export type { ConnectionTarget, TargetState } from "./mesh/connection-target.ts";
export { type ChannelMesh, GossipChannel } from "./mesh/gossip-channel.ts";
export type { GossipSender, GossipWire } from "./mesh/gossip-sender.ts";
export type { GossipData, Gossiper, GossipPayload } from "./mesh/gossiper.ts";
export { IpamChannel } from "./mesh/ipam-channel.ts";
export type { ConnectionHost, MeshConnection } from "./mesh/mesh-connection.ts";
export { type Count, MeshCounters } from "./mesh/mesh-counters.ts";
export { type MeshListener, type MeshOptions, MeshRouter } from "./mesh/mesh-router.ts";
export { MeshRoutes } from "./mesh/mesh-routes.ts";
export {
  NULL_OVERLAY,
  type Overlay,
  type OverlayConnection,
  type OverlayConnectionParams,
} from "./mesh/overlay.ts";
export type { PeerDescription, PeerLink } from "./mesh/peer.ts";
export type { NickName, PeerName, PeerUid } from "./mesh/peer-name.ts";
export { Peers, type PeersListener } from "./mesh/peers.ts";
export { MESH_PORT, type ProtocolContent } from "./mesh/protocol.ts";
export {
  broadcastRelays,
  type Links,
  type Topology,
  type UnicastRoutes,
  unicastRoutes,
} from "./mesh/routes.ts";
export { SHORT_IDS, type ShortId } from "./mesh/short-ids.ts";
export type { BridgeKind } from "./net/weave-bridge.ts";
export { NetworkPolicyController, type NpcObject } from "./npc/controller.ts";
export { type NpcEvent, readNpcEvents } from "./npc/npc-events.ts";
export { NpcSharing } from "./npc/npc-sharing.ts";
export { RejectedPolicy } from "./npc/policy-analysis.ts";
export type { SetEntries } from "./npc/set-entries.ts";
export type { SharedMap } from "./npc/shared-map.ts";
export { StandAloneNpc } from "./npc/stand-alone.ts";
export { WeaveNpc } from "./npc/weave-npc.ts";
export { RELEASE } from "./release.ts";
export {
  DISCARD,
  type FlowOp,
  type ForwardPacketKey,
  flattenFlowOp,
  MultiFlowOp,
  type PacketKey,
} from "./router/flow-op.ts";
export type { Consumer, InjectorConsumer } from "./router/injector-consumer.ts";
export { MacCache, type MacCacheEntry } from "./router/mac-cache.ts";
export type {
  NetworkConnectionParams,
  NetworkOverlay,
  OverlayConsumer,
  OverlayForwarder,
} from "./router/network-overlay.ts";
export { NetworkRouter, type NetworkRouterOptions } from "./router/network-router.ts";
export { OverlaySwitch } from "./router/overlay-switch.ts";
export { Pcap } from "./router/pcap.ts";
export type { SleeveCrypto } from "./sleeve/sleeve-crypto.ts";
export type { SleeveEndpoint, SleeveForwarder, SleeveHost } from "./sleeve/sleeve-forwarder.ts";
export { type SleeveOptions, SleeveOverlay } from "./sleeve/sleeve-overlay.ts";
export type { SpecialFrame } from "./sleeve/special-frame.ts";
export type { ConnectionStatus } from "./status/connection-status.ts";
export {
  connectionsText,
  ipamText,
  peersText,
  statusText,
  targetsText,
} from "./status/status-text.ts";
export {
  type IpamEntryStatus,
  type IpamStatus,
  type PaxosStatus,
  type PeerStatus,
  type RouterStatus,
  type StatusSource,
  type WeaveStatus,
  weaveStatus,
} from "./status/weave-status.ts";
export { weave } from "./weave.ts";
export { Weaver, type WeaverOptions } from "./weaver/weaver.ts";
export type { WeaverApi } from "./weaver/weaver-api.ts";
export type { IpallocInit, WeaverConfig } from "./weaver/weaver-config.ts";
