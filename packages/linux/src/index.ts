export * from "./bpf/array-map.ts";
export type { BpfContext } from "./bpf/bpf-context.ts";
export { MAX_TAIL_CALL_CNT } from "./bpf/bpf-context.ts";
export * from "./bpf/bpf-link.ts";
export * from "./bpf/bpf-map.ts";
export * from "./bpf/bpf-program.ts";
export * from "./bpf/bpf-subsystem.ts";
export * from "./bpf/cgroup.ts";
export * from "./bpf/event-array.ts";
export * from "./bpf/fib-lookup.ts";
export * from "./bpf/hash-map.ts";
export * from "./bpf/lpm-map.ts";
export * from "./bpf/lpm-trie.ts";
export * from "./bpf/lru-hash.ts";
export * from "./bpf/packet-context.ts";
export * from "./bpf/shared-entries.ts";
export * from "./bpf/skb-bpf.ts";
export * from "./bpf/sock-addr-context.ts";
export * from "./bpf/sock-context.ts";
export * from "./bpf/tc-context.ts";
export * from "./bpf/tc-hook.ts";
export * from "./bpf/verdict.ts";
export * from "./bpf/xdp-context.ts";
export * from "./bpf/xdp-hook.ts";
export * from "./bridge/bridge.ts";
export * from "./bridge/bridge-port.ts";
export * from "./bridge/fdb.ts";
export { ArpAudience } from "./device/arp-audience.ts";
export * from "./device/dummy.ts";
export * from "./device/geneve.ts";
export * from "./device/ifb.ts";
export * from "./device/interface-address.ts";
export * from "./device/ip-tunnel.ts";
export * from "./device/loopback.ts";
export * from "./device/macvlan.ts";
export * from "./device/net-device.ts";
export * from "./device/nic.ts";
export * from "./device/segment.ts";
export * from "./device/tun.ts";
export type { UdpTunnel } from "./device/udp-tunnel.ts";
export * from "./device/veth.ts";
export * from "./device/vxlan.ts";
export * from "./device/wireguard.ts";
export * from "./drop-reason.ts";
export * from "./fib/dst.ts";
export * from "./fib/fib.ts";
export * from "./fib/fib-rule.ts";
export * from "./fib/fib-table.ts";
export * from "./fib/route.ts";
export type { NexthopSpec, RouteSpec } from "./fib/route-config.ts";
export * from "./flow-cache.ts";
export type { AddressOptions } from "./ip/address.ts";
export {
  type DefragUser,
  fragmentPacket,
  type Reassembled,
  type Reassembly,
} from "./ip/fragment.ts";
export type { IcmpSockets } from "./ip/icmp-socket.ts";
export type { RouteErrno } from "./ip/route-input.ts";
export type { OutputFlow, OutputRoute } from "./ip/route-output.ts";
export type { Hashed } from "./ipvs/hash-chains.ts";
export { IpVsConn, type IpVsConnKey } from "./ipvs/ip-vs-conn.ts";
export { IpVsConnTable } from "./ipvs/ip-vs-conn-table.ts";
export { type ForwardingMethod, IpVsDest, type IpVsDestSpec } from "./ipvs/ip-vs-dest.ts";
export type { IpVsDirection, IpVsProtocol } from "./ipvs/ip-vs-protocol.ts";
export {
  IpVsService,
  type IpVsServiceKey,
  type IpVsServiceSettings,
} from "./ipvs/ip-vs-service.ts";
export * from "./ipvs/ip-vs-service-flags.ts";
export { IpVsStats } from "./ipvs/ip-vs-stats.ts";
export { Ipvs, type IpvsTimeouts } from "./ipvs/ipvs.ts";
export { IpvsSettings } from "./ipvs/ipvs-settings.ts";
export { IpvsadmError } from "./ipvs/ipvsadm-error.ts";
export { destLine, serviceLine } from "./ipvs/ipvsadm-save.ts";
export {
  SCHEDULER_NAMES,
  type ScheduledConnection,
  type Scheduler,
  type SchedulerName,
} from "./ipvs/scheduler.ts";
export * from "./kernel.ts";
export * from "./kernel-error.ts";
export { announceIpv4 } from "./neighbour/arp.ts";
export * from "./neighbour/neighbour.ts";
export {
  NEIGHBOUR_PARAMETERS,
  NEIGHBOUR_PARAMETERS6,
  NEIGHBOUR_SYSCTLS,
  type NeighbourParameters,
} from "./neighbour/neighbour-parameters.ts";
export * from "./neighbour/neighbour-table.ts";
export * from "./net-namespace.ts";
export * from "./netfilter/conntrack/conntrack-settings.ts";
export * from "./netfilter/conntrack/conntrack-table.ts";
export { SCTP_STATES } from "./netfilter/conntrack/sctp-tracker.ts";
export { TCP_STATES } from "./netfilter/conntrack/tcp-tracker.ts";
export * from "./netfilter/conntrack/tracker.ts";
export * from "./netfilter/conntrack.ts";
export * from "./netfilter/conntrack-entry.ts";
export type { FilterRule } from "./netfilter/filter-rule.ts";
export * from "./netfilter/hooks.ts";
export type { FieldValue } from "./netfilter/ipset/element-syntax.ts";
export {
  type ElementOptions,
  Entry,
  Ipset,
  type IpsetOptions,
  type SharedElements,
} from "./netfilter/ipset/ipset.ts";
export { IpsetError } from "./netfilter/ipset/ipset-error.ts";
export { IpsetReference, Ipsets } from "./netfilter/ipset/ipsets.ts";
export type { Direction as IpsetDirection } from "./netfilter/ipset/packet-fields.ts";
export type { CreateOptionName, ElementField, SetType } from "./netfilter/ipset/set-type.ts";
export {
  type ChainChanges,
  ChainLayer,
  LayerChain,
  type LayerRule,
  type LayerRuleOrigin,
} from "./netfilter/iptables/chain-layer.ts";
export { Iptables } from "./netfilter/iptables/iptables.ts";
export { IptablesError } from "./netfilter/iptables/iptables-error.ts";
export type { RestoreOptions } from "./netfilter/iptables/restore.ts";
export { ruleText } from "./netfilter/iptables/rule-text.ts";
export { jhash2 } from "./netfilter/nat/jhash.ts";
export * from "./netfilter/nat/nat-hooks.ts";
export * from "./netfilter/nat.ts";
export * from "./netfilter/nfacct.ts";
export type { TableFamily } from "./netfilter/nftables/command.ts";
export type { Json } from "./netfilter/nftables/data-type.ts";
export { Nftables, SharedSetElements } from "./netfilter/nftables/nftables.ts";
export { type Location, NftablesError } from "./netfilter/nftables/nftables-error.ts";
export { NftTableLayer } from "./netfilter/nftables/table-layer.ts";
export type { RuleOrigin } from "./netfilter/nftables/transaction.ts";
export * from "./network.ts";
export * from "./openvswitch/datapath.ts";
export {
  EXACT,
  type FlowField,
  type FlowKey,
  type FlowMatch,
  flowKeyOf,
  type MaskedValue,
  maskedField,
  TUNNEL_KEY,
} from "./openvswitch/flow-key.ts";
export { type DatapathFlow, FlowTable } from "./openvswitch/flow-table.ts";
export { OvsInternalDevice } from "./openvswitch/internal-device.ts";
export type { OvsAction } from "./openvswitch/ovs-action.ts";
export {
  type DatapathJson,
  datapathsJson,
  dpctlDumpFlows,
  dpctlShow,
  flowActionsText,
  flowMatchText,
} from "./openvswitch/ovs-dpctl.ts";
export { Vport, type VportType, vportOf } from "./openvswitch/vport.ts";
export * from "./skb.ts";
export { type ConnectedSocket, ConnectedSockets } from "./socket/connected-sockets.ts";
export {
  isWireMessage,
  MessageReader,
  messageOf,
  say,
  type WireMessage,
} from "./socket/conversation.ts";
export * from "./socket/echo-server.ts";
export * from "./socket/exchange.ts";
export * from "./socket/http/headers.ts";
export * from "./socket/http/http-client.ts";
export { EchoedRequest } from "./socket/http/http-echo.ts";
export * from "./socket/http/http-get.ts";
export * from "./socket/http/http-message.ts";
export * from "./socket/http/http-server.ts";
export { ProxyNote } from "./socket/http/proxy-note.ts";
export * from "./socket/message.ts";
export { ETH_P_ALL, PacketSocket } from "./socket/packet-socket.ts";
export * from "./socket/ping-socket.ts";
export { RawSocket } from "./socket/raw-socket.ts";
export { hangUp, passTo } from "./socket/relay.ts";
export * from "./socket/sctp.ts";
export { type ServedConnection, ServerReport } from "./socket/server-report.ts";
export * from "./socket/socket.ts";
export * from "./socket/socket-table.ts";
export * from "./socket/tcp.ts";
export * from "./socket/tcp-probe.ts";
export * from "./socket/tls.ts";
export * from "./socket/udp.ts";
export * from "./sysctl.ts";
export * from "./tc/traffic-control.ts";
export * from "./trace.ts";
export type { Tracepoints } from "./tracepoints.ts";
export { xfrmPolicyText, xfrmStateText } from "./xfrm/ip-xfrm.ts";
export { Xfrm, type XfrmRoute } from "./xfrm/xfrm.ts";
export type { XfrmPolicy, XfrmTemplate } from "./xfrm/xfrm-policy.ts";
export {
  type XfrmAead,
  type XfrmMark,
  XfrmState,
  type XfrmStateSpec,
} from "./xfrm/xfrm-state.ts";
