import type { DropReason } from "@cnilab/linux";

/** What a drop means, and what to look at next. */
export interface DropExplanation {
  readonly meaning: string;
  readonly hint: string;
}

const ROUTE_HINT =
  "compare `show routes` with the destination, and whether the CNI's agent runs there";
const MTU_HINT =
  "compare MTUs along the way: a tunnel needs its overhead (VXLAN 50 bytes) below the link's MTU";
const DEVICE_HINT = "look at `show links`: the device has to be UP and have LOWER_UP";
const CORRUPT_HINT = "the sender made a malformed packet; capture it with `trace -o pcapng`";
const TUNNEL_HINT = "compare VNI, port and addresses of both tunnel ends in `show links`";
const CONNTRACK_HINT = "look at `show conntrack` on this node";

/** Every reason of `skb_drop_reason` that the model knows. */
export const DROP_EXPLANATIONS: Readonly<Record<DropReason, DropExplanation>> = {
  NOT_SPECIFIED: { meaning: "it ended here", hint: "the detail says what the device does" },
  NO_SOCKET: {
    meaning: "no program listens on that port here",
    hint: "look at `show sockets`: the container port, or the Service's targetPort, may be wrong",
  },
  OTHERHOST: {
    meaning: "the frame is for another machine's MAC",
    hint: "normal for copies of a flooded frame; otherwise the sender has a wrong neighbour entry",
  },
  IP_NOPROTO: {
    meaning: "nobody here handles that IP protocol",
    hint: "a tunnel or protocol module is missing at the destination",
  },
  NETFILTER_DROP: {
    meaning: "a netfilter rule dropped it",
    hint: "the rule and the object it comes from are named: change that object, not the rule",
  },
  IP_INHDR: { meaning: "the IP header or what follows it is not valid", hint: CORRUPT_HINT },
  IP_RPFILTER: {
    meaning: "answers to its source would leave by another device (reverse path filter)",
    hint: "add the route back, or set net.ipv4.conf.*.rp_filter to 2 or 0 where ways differ on purpose",
  },
  IP_OUTNOROUTES: { meaning: "there is no route to its destination", hint: ROUTE_HINT },
  IP_INNOROUTES: { meaning: "there is no route to its destination", hint: ROUTE_HINT },
  IP_LOCAL_SOURCE: {
    meaning: "its source is an address of this machine itself (a martian)",
    hint: "two machines may have the same address; accept_local allows it where it is meant",
  },
  IP_INVALID_SOURCE: {
    meaning: "its source can be nobody's address (a martian)",
    hint: "look for NAT or a program that sends from a wrong address",
  },
  IP_INVALID_DEST: {
    meaning: "its destination can be nobody's address",
    hint: "check the address that the client asked for",
  },
  IP_LOCALNET: {
    meaning: "127.0.0.0/8 may not cross a device (a martian)",
    hint: "listen on the pod's address instead; route_localnet allows it where it is meant",
  },
  NEIGH_FAILED: {
    meaning: "nobody on the link answered for the next hop",
    hint: "look at `show neigh`: is that machine up, on the same link, with that address?",
  },
  NEIGH_QUEUEFULL: {
    meaning: "too many packets wait for the next hop's answer",
    hint: "look at `show neigh`: is that machine up?",
  },
  NEIGH_DEAD: { meaning: "the neighbour is gone", hint: "look at `show neigh`" },
  TC_INGRESS: { meaning: "traffic control dropped it on the way in", hint: "look at `tc filter`" },
  TC_EGRESS: { meaning: "traffic control dropped it on the way out", hint: "look at `tc filter`" },
  QDISC_DROP: {
    meaning: "the queueing discipline had no room for it",
    hint: "raise the bandwidth annotation's burst, or send less at once",
  },
  DEV_HDR: { meaning: "it has no room for a link-layer header", hint: CORRUPT_HINT },
  DEV_READY: { meaning: "the device is down", hint: DEVICE_HINT },
  FULL_RING: { meaning: "the device's queue is full", hint: "send less at once" },
  PKT_TOO_BIG: { meaning: "it is larger than the MTU and must not be cut", hint: MTU_HINT },
  DUP_FRAG: { meaning: "this fragment has come before", hint: CORRUPT_HINT },
  FRAG_REASM_TIMEOUT: {
    meaning: "the other fragments did not come in time",
    hint: "a fragment is lost on the way: a firewall may drop those without ports",
  },
  FRAG_MISFIT: { meaning: "this fragment contradicts those before it", hint: CORRUPT_HINT },
  FRAG_TOO_FAR: { meaning: "fragments are too far apart", hint: CORRUPT_HINT },
  TCP_FLAGS: { meaning: "no connection expects these TCP flags", hint: CONNTRACK_HINT },
  TCP_RESET: { meaning: "the connection was reset", hint: "the other side has closed it" },
  TCP_OLD_DATA: {
    meaning: "these bytes have been received before",
    hint: "normal after a retransmission",
  },
  UNHANDLED_PROTO: {
    meaning: "the device or machine does not handle this kind of packet",
    hint: "check that the address family fits the tunnel",
  },
  UDP_CSUM: {
    meaning: "its checksum looked wrong to UDP",
    hint: "a rule writes into the IPv6 header of what came in fragments, after connection tracking: do that before priority -200, or where the packet leaves",
  },
  ICMP_CSUM: { meaning: "its ICMP checksum is wrong", hint: CORRUPT_HINT },
  XDP: { meaning: "an XDP program dropped it", hint: "look at what is attached to the device" },
  BRIDGE_INGRESS_STP_STATE: {
    meaning: "the bridge port does not forward",
    hint: "look at `show links`: the port's state",
  },
  VXLAN_INVALID_HDR: { meaning: "its VXLAN header is not valid", hint: TUNNEL_HINT },
  VXLAN_VNI_NOT_FOUND: { meaning: "no VXLAN device here has that VNI", hint: TUNNEL_HINT },
  VXLAN_ENTRY_EXISTS: {
    meaning: "a static FDB entry says that this MAC is elsewhere",
    hint: "compare `show fdb` with the node that sent it: an old lease may be left",
  },
  GENEVE_NO_DEVICE: {
    meaning: "no Geneve device here has that VNI and its sender for the other end",
    hint: TUNNEL_HINT,
  },
  VXLAN_NO_REMOTE: {
    meaning: "the FDB does not say to which node this MAC belongs",
    hint: "look at `show fdb`: the CNI's agent has not programmed that node, or it has left",
  },
  LOCAL_MAC: {
    meaning: "it came back to the device that sent it, or a bridge would send it to itself",
    hint: "the neighbour entry names this machine's own MAC: look at `show neigh`",
  },
  IP_TUNNEL_ECN: { meaning: "inner and outer congestion marks contradict", hint: CORRUPT_HINT },
  TUNNEL_TXINFO: { meaning: "the tunnel does not know where to send it", hint: TUNNEL_HINT },
  ARP_PVLAN_DISABLE: {
    meaning: "hairpin ARP is not answered here",
    hint: "proxy_arp_pvlan allows it where it is meant",
  },
  TTL_EXCEEDED: {
    meaning: "its time to live ran out",
    hint: "packets circle: two nodes have routes to each other for the same prefix",
  },
  FORWARDING_DISABLED: {
    meaning: "this machine does not forward",
    hint: "set net.ipv4.ip_forward=1 (net.ipv6.conf.all.forwarding=1); kubeadm demands it",
  },
  BLACKHOLE_ROUTE: {
    meaning: "a blackhole route takes it without a word",
    hint: "look at `show routes`: an address of this node's own range that no pod has",
  },
  UNREACHABLE_ROUTE: { meaning: "an unreachable route refuses it", hint: ROUTE_HINT },
  PROHIBIT_ROUTE: { meaning: "a prohibit route refuses it", hint: "look at `show rules`" },
  LINK_DOWN: { meaning: "the cable is out", hint: "bring the link up again" },
  LINK_LOSS: { meaning: "the network lost it, as it was told to", hint: "mend the link's loss" },
  PARTITION: { meaning: "the network is cut between these machines", hint: "heal the partition" },
  NO_CARRIER: {
    meaning: "there is nobody at the other end of the device",
    hint: "the pod's own end may be down or gone: look at `show links` in both namespaces",
  },
  NO_PEER: {
    meaning: "no machine on this network has the frame's MAC",
    hint: "a neighbour entry is stale, or that node is down",
  },
  BRIDGE_NO_PORT: {
    meaning: "the bridge has no port to send it by",
    hint: "look at `show links`: is the pod's veth a port of the bridge?",
  },
  BRIDGE_SAME_PORT: {
    meaning: "the bridge would send it back by the port it came from",
    hint: "a pod that reaches itself by a Service needs hairpin mode on its port",
  },
  BRIDGE_ISOLATED: {
    meaning: "both ports are isolated",
    hint: "look at the ports' `isolated` flag",
  },
  CONNTRACK_CLASH: {
    meaning: "another packet of the same connection was confirmed first",
    hint: "the known race of two DNS queries from one socket: the client asks again after 5 s",
  },
  CONNTRACK_FULL: {
    meaning: "the connection table is full",
    hint: "raise net.netfilter.nf_conntrack_max",
  },
  CONNTRACK_INVALID: {
    meaning: "conntrack cannot make sense of it",
    hint: `${CONNTRACK_HINT}; nf_conntrack_tcp_be_liberal helps where packets were lost`,
  },
  NAT_NO_TUPLE: {
    meaning: "NAT found no free port for it",
    hint: "too many connections from one address to one server: spread over more addresses",
  },
  WIREGUARD_NO_PEER: {
    meaning: "no WireGuard peer is known for it",
    hint: "compare keys and allowed IPs of both nodes",
  },
  WIREGUARD_NO_SESSION: {
    meaning: "no handshake with the WireGuard peer succeeded",
    hint: "handshakes go both ways: see that UDP between the endpoints passes in both directions",
  },
  WIREGUARD_ALLOWED_IPS: {
    meaning: "the WireGuard peer may not send from that address",
    hint: "the sender's pod range is missing from its allowed IPs here",
  },
  XFRM_POLICY: {
    meaning: "an IPsec policy blocks it",
    hint: "`ip xfrm policy` has the policy that the packet fits",
  },
  XFRM_NO_STATE: {
    meaning: "IPsec has no security association for it",
    hint: "both ends must have one with the same SPI: compare `ip xfrm state` of both",
  },
  XFRM_BAD_PACKET: {
    meaning: "it cannot be decrypted",
    hint: "the keys of both ends differ: was one of them restarted?",
  },
  WEAVE_NO_CONNECTION: {
    meaning: "the weave peers have no connection that carries it",
    hint: "see `weave status connections` of both nodes, and that UDP 6783 and 6784 pass between them",
  },
  TUN_NO_READER: {
    meaning: "no program has the TUN device open",
    hint: "the CNI's agent does not run on this node",
  },
  PACKET_STORM: {
    meaning: "the same frames circle without end",
    hint: "there is a loop of bridges: take one link out",
  },
  IP_DISABLED: {
    meaning: "IP is switched off on the device",
    hint: "give it an address, or set disable_ipv6=0",
  },
  OVS_LAST_ACTION: {
    meaning: "the flow of the datapath that it fits sends it nowhere",
    hint: "look at `show ovs`: the program that has the datapath made the flow",
  },
  OVS_UPCALL_LOST: {
    meaning: "no flow of the datapath fits, and no program takes what is missed",
    hint: "the program that has the datapath does not run",
  },
  VFP_BLOCK: {
    meaning: "a blocking VFP rule took it",
    hint: "`cnilab show vfp` lists the rules of every port",
  },
  VFP_NO_ROUTE: {
    meaning: "no endpoint or remote subnet of the overlay has its destination",
    hint: "`cnilab show hns-networks` lists the remote subnets; is flanneld up on the other node?",
  },
};
