import { CALICO_GLOSSARY } from "./calico-glossary.ts";
import { CILIUM_GLOSSARY } from "./cilium-glossary.ts";
import { COMPARISON_GLOSSARY } from "./comparison-glossary.ts";
import type { GlossaryEntry } from "./glossary-entry.ts";
import { WEAVE_GLOSSARY } from "./weave-glossary.ts";

export const GLOSSARY: readonly GlossaryEntry[] = [
  // namespaces and devices
  {
    term: "netns",
    aliases: ["network namespace", "namespace"],
    lines: [
      "A network namespace is a network stack of its own: devices, addresses, routes, rules, sockets.",
      "Every pod has one, shared by all its containers; the node itself has the one it booted with.",
      "Nothing crosses from one to another but through a device pair such as a veth.",
    ],
    see: ["veth"],
  },
  {
    term: "veth",
    aliases: ["veth pair", "eth0"],
    lines: [
      "A virtual Ethernet cable: what goes in at one end comes out at the other.",
      "One end is the pod's eth0, the other sits in the node's namespace, often as a port of a bridge.",
      "`@if7` behind its name means that the other end is device 7 of another namespace.",
    ],
    see: ["netns", "bridge"],
  },
  {
    term: "bridge",
    lines: [
      "A switch in software: it sends frames from port to port by their destination MAC alone.",
      "It is a device of the node as well, with a MAC and often an address: the pods' gateway.",
      "A frame for that MAC is not switched; it goes up to the node's IP stack, which routes it.",
    ],
    see: ["FDB", "cni0", "bridge miss"],
  },
  {
    term: "bridge miss",
    lines: [
      'What some guides say of a pod\'s packet to another subnet: the bridge "does not find" the pod.',
      "In truth the pod sent the frame to its gateway's MAC, and that is the bridge's own.",
      "The bridge finds it at once, hands the packet to the node, and routing decides from there.",
    ],
    see: ["bridge", "FDB", "gateway"],
  },
  {
    term: "FDB",
    aliases: ["forwarding database"],
    lines: [
      "The table that says behind which port of a bridge, or at which tunnel end, a MAC is.",
      "A bridge learns it from the frames it sees; a VXLAN device is told it by the CNI's agent.",
      "`bridge fdb show` prints both kinds.",
    ],
    see: ["bridge", "VXLAN", "flood"],
  },
  {
    term: "flood",
    aliases: ["flooding"],
    lines: [
      "A bridge that does not know a MAC sends the frame to all ports but the one it came from.",
      "Broadcasts, such as ARP questions, are flooded always.",
      "Whoever it is not for ignores its copy.",
    ],
    see: ["FDB"],
  },
  {
    term: "cni0",
    aliases: ["docker0"],
    lines: [
      "The bridge that the CNI bridge plugin makes on a node for its pods.",
      "Its address is the pods' default gateway, as 10.244.1.1 for the range 10.244.1.0/24.",
      "It appears with the first pod on the node, not before.",
    ],
    see: ["bridge", "CNI", "gateway"],
  },
  {
    term: "hairpin",
    aliases: ["hairpin mode"],
    lines: [
      "A bridge never sends a frame back by the port it came from, unless that port is in hairpin mode.",
      "A pod that calls its own Service and is chosen as the endpoint needs it.",
      "The hairpinned packet also needs its source changed, or the pod would answer itself directly.",
    ],
    see: ["bridge", "masquerade"],
  },
  {
    term: "promiscuous",
    aliases: ["promisc", "promiscuous mode"],
    lines: [
      "A device in promiscuous mode takes in frames that are for other MACs too.",
      "Ports of a bridge are, as the bridge forwards for others.",
      "A bridge that is itself promiscuous takes a copy of everything it floods.",
    ],
    see: ["bridge"],
  },
  {
    term: "macvlan",
    lines: [
      "A device with a MAC of its own on top of a real one: the pod sits directly on the node's network.",
      "In bridge mode macvlans of one card reach each other, but never the card's own host.",
      "No bridge, NAT or node rule is in its way, so node-level Services and policies do not see it.",
    ],
  },
  {
    term: "TUN",
    aliases: ["tun device"],
    lines: [
      "A device whose other end is a program: what is sent to it, the program reads, and the other way.",
      "It carries IP packets, with no Ethernet header.",
      "Flannel's udp backend uses one, which makes every packet cross into user space and back.",
    ],
  },
  {
    term: "loopback",
    aliases: ["lo"],
    lines: [
      "The device `lo`, on which a namespace talks to itself; 127.0.0.1 and ::1 live there.",
      "Each namespace has one, and it is down until somebody brings it up (the loopback plugin).",
      "Packets to any of the namespace's own addresses go over it as well.",
    ],
  },
  // tunnels
  {
    term: "tunnel",
    aliases: ["overlay", "encapsulation"],
    lines: [
      "A packet travels as the payload of another: the outer one knows nodes, the inner one pods.",
      "So the network between nodes need not know pod addresses.",
      "The outer header costs room: the inner MTU has to be smaller.",
    ],
    see: ["VXLAN", "IPIP", "WireGuard", "MTU"],
  },
  {
    term: "VXLAN",
    lines: [
      "Ethernet frames inside UDP packets, so that pods on different nodes share a virtual link.",
      "Linux uses UDP port 8472 by default, the standard (RFC 7348) 4789.",
      "It adds 50 bytes over IPv4 (70 over IPv6), hence the MTU of 1450.",
    ],
    see: ["VNI", "VTEP", "FDB", "MTU"],
  },
  {
    term: "VTEP",
    aliases: ["VXLAN tunnel endpoint"],
    lines: [
      "A VXLAN tunnel endpoint: the device that wraps and unwraps, as flannel.1 on each node.",
      "To send, it needs a route to the pod range, a MAC for its next hop, and a node for that MAC.",
      "Those are one line each in `ip route`, `ip neigh` and `bridge fdb`.",
    ],
    see: ["VXLAN", "flannel.1", "FDB"],
  },
  {
    term: "openvswitch",
    aliases: ["Open vSwitch", "OVS", "datapath", "openvswitch datapath", "ODP"],
    lines: [
      "A switch in the kernel that decides nothing: it does what its flows say, and asks a program if none fits.",
      "Weave's fast datapath is one, with the weaver as program; a cable leads from it to the bridge `weave`.",
      "`show ovs` prints ports, flows, and how many frames met one (hit), none (missed), or no program (lost).",
    ],
    see: ["vport", "upcall", "megaflow"],
  },
  {
    term: "vport",
    lines: [
      "A port of an Open vSwitch datapath, with a number that flows name it by.",
      "Kind netdev is a device that was there, internal one of the datapath's own, vxlan leads into a tunnel.",
      "Port 0 is the datapath's own device, by which the machine itself takes part.",
    ],
    see: ["openvswitch", "VXLAN"],
  },
  {
    term: "upcall",
    aliases: ["miss", "flow miss", "ODP miss"],
    lines: [
      "What a datapath does with a frame that no flow fits: it hands it to its program, in user space.",
      "The program says what becomes of this frame, and mostly makes a flow so that the next ones need not ask.",
      "Weave never has a flow that fits what a peer only relays: each such frame makes the detour.",
    ],
    see: ["openvswitch", "megaflow"],
  },
  {
    term: "megaflow",
    aliases: ["datapath flow", "flow entry"],
    lines: [
      "An entry of a datapath's table: what a frame must look like (port, tunnel, MACs), and what to do with it.",
      "What it does not ask for is masked out, so one stands for many connections; each mask is one look-up.",
      "Weave asks for port, MACs and tunnel; its flows go when routes change, or unused after 5 minutes.",
    ],
    see: ["openvswitch", "upcall"],
  },
  {
    term: "VNI",
    lines: [
      "The VXLAN network identifier, 24 bits: which virtual link a frame belongs to.",
      "Both ends have to have the same; a receiver drops what is for a VNI it does not know.",
      "Flannel uses 1, and names its device after it: flannel.1.",
    ],
    see: ["VXLAN"],
  },
  {
    term: "flannel.1",
    lines: [
      "Flannel's VXLAN device, with VNI 1: the node's tunnel end (VTEP).",
      "It has the first address of the node's pod range as a /32, as 10.244.1.0.",
      "For every other node flanneld adds a route, a neighbour and an FDB entry on it.",
    ],
    see: ["VTEP", "onlink", "lease"],
  },
  {
    term: "IPIP",
    aliases: ["ip in ip"],
    lines: [
      "An IPv4 packet as payload of another IPv4 packet, IP protocol 4.",
      "It adds 20 bytes, so the MTU inside is 1480 where the link has 1500.",
      "There are no ports and no checks: some clouds drop it unless told otherwise.",
    ],
    see: ["tunnel"],
  },
  {
    term: "WireGuard",
    lines: [
      "An encrypted tunnel over UDP; each peer is a public key with a list of allowed IPs.",
      "The allowed IPs route on the way out and filter on the way in.",
      "It adds 60 bytes over IPv4 and 80 over IPv6, hence its usual MTU of 1420.",
    ],
    see: ["tunnel"],
  },
  {
    term: "XFRM",
    aliases: ["IPsec", "ip xfrm"],
    lines: [
      "IPsec in the kernel: policies say which packets are to be encrypted, states (associations) how.",
      "A policy may ask for a mark, so that a rule of mangle OUTPUT chooses what it is for.",
      "OUTPUT sees the packet twice, plain and encrypted; at the other end PREROUTING and INPUT do.",
    ],
    see: ["ESP", "SPI", "mark"],
  },
  {
    term: "ESP",
    aliases: ["encapsulating security payload"],
    lines: [
      "IP protocol 50: what IPsec encrypts travels in it (RFC 4303), here with AES-GCM.",
      "In transport mode it takes the place of TCP or UDP: the IP header keeps its addresses.",
      "It adds 34 to 37 bytes, and rules that look for ports find none in it.",
    ],
    see: ["XFRM", "SPI", "MTU"],
  },
  {
    term: "SPI",
    aliases: ["security parameter index", "espspi"],
    lines: [
      "32 bits in front of each ESP packet: with the destination they say by which association it is to be read.",
      "Each direction has its own; the receiver chooses it and tells the sender.",
      "`-m esp --espspi` finds them in rules, `ip xfrm state` lists them.",
    ],
    see: ["ESP", "XFRM"],
  },
  {
    term: "sleeve",
    lines: [
      "Weave's overlay in user space: a program captures frames, puts several into one UDP packet, port 6783.",
      "It finds out how much the path takes, and tells containers by ICMP when a packet is too long.",
      "It works wherever UDP does, but each packet goes through a program twice.",
    ],
    see: ["tunnel", "MTU"],
  },
  {
    term: "host-gw",
    aliases: ["direct routing"],
    lines: [
      "A backend without tunnel: each node has routes to the others' pod ranges by their addresses.",
      "It works only while nodes are on one link, as a router between would not know pod addresses.",
      "No overhead: pods have the link's full MTU.",
    ],
    see: ["route table", "onlink"],
  },
  // neighbours
  {
    term: "ARP",
    lines: [
      "How IPv4 finds the MAC of an address on its own link: it asks all, and the owner answers.",
      "It is asked for the next hop, not for the final destination.",
      "IPv6 does the same with neighbour discovery.",
    ],
    see: ["neighbour", "proxy ARP"],
  },
  {
    term: "neighbour discovery",
    aliases: ["NDP", "ND"],
    lines: [
      "How IPv6 finds the MAC of an address on its link: ICMPv6 solicitation and advertisement.",
      "The question goes to a multicast group made from the address, not to everybody.",
      "Answers land in the same neighbour table as ARP's.",
    ],
    see: ["ARP", "neighbour"],
  },
  {
    term: "neighbour",
    aliases: ["neighbor", "neigh"],
    lines: [
      "What a device knows of an address on its link: the MAC, and how sure it is.",
      "REACHABLE was confirmed lately, STALE will be checked when used, FAILED did not answer.",
      "PERMANENT entries are set by hand or by an agent, as flanneld does on flannel.1.",
    ],
    see: ["ARP"],
  },
  {
    term: "proxy ARP",
    lines: [
      "A device answers ARP for addresses that are not its own, and then forwards what comes.",
      "Calico uses it: pods have the gateway 169.254.1.1, which nobody has, and the veth answers.",
      "proxy_arp switches it on for a device.",
    ],
    see: ["ARP"],
  },
  // routing
  {
    term: "route table",
    aliases: ["route", "routing table", "FIB"],
    lines: [
      "The list that says by which device, and over which next hop, a destination is reached.",
      "Table main is what `ip route` shows; table local holds the machine's own addresses.",
      "The longest prefix that holds the destination wins.",
    ],
    see: ["LPM", "rule", "metric"],
  },
  {
    term: "LPM",
    aliases: ["longest prefix match"],
    lines: [
      "Longest prefix match: of all routes that hold an address, the narrowest is taken.",
      "10.244.2.0/24 comes before 10.244.0.0/16, and both before the default route.",
      "Only among equal prefixes does the metric decide.",
    ],
    see: ["route table", "metric"],
  },
  {
    term: "rule",
    aliases: ["ip rule", "policy routing"],
    lines: [
      "Rules decide which route tables are asked, and in which order, by source, mark or device.",
      "Without any of one's own there are three: tables local, main, default.",
      "Not to be mixed up with netfilter's rules, which accept, drop or change packets.",
    ],
    see: ["route table", "mark"],
  },
  {
    term: "metric",
    lines: [
      "A route's rank among routes to the same prefix: the smallest is taken.",
      "It never beats a longer prefix.",
      "IPv6 routes have 1024 where nothing is said, IPv4 routes 0.",
    ],
    see: ["LPM"],
  },
  {
    term: "onlink",
    lines: [
      "A flag of a route: its gateway counts as reachable on the device, whatever the tables say.",
      "Flannel needs it, as 10.244.2.0 is in no network of flannel.1.",
      "The gateway's MAC then comes from a permanent neighbour entry.",
    ],
    see: ["flannel.1", "neighbour"],
  },
  {
    term: "gateway",
    aliases: ["default gateway", "next hop"],
    lines: [
      "The router that a packet is handed to when its destination is not on the link.",
      "The frame carries the gateway's MAC, while the packet keeps the destination's address.",
      "A pod's gateway is mostly the address of the node's bridge.",
    ],
    see: ["cni0", "bridge miss"],
  },
  {
    term: "ip_forward",
    aliases: ["forwarding"],
    lines: [
      "The sysctl that makes a machine pass packets on between its devices.",
      "Without it a node drops what its pods send to other nodes.",
      "kubeadm refuses to start without it.",
    ],
  },
  {
    term: "TTL",
    aliases: ["hop limit"],
    lines: [
      "A number in each packet that every router lowers by one; at zero the packet is dropped.",
      "It keeps packets from circling for ever.",
      "A switch or bridge does not touch it, so it tells how many times a packet was routed.",
    ],
  },
  {
    term: "rp_filter",
    aliases: ["reverse path filter"],
    lines: [
      "Drops a packet if answers to its source would leave by another device than it came in by.",
      "1 is strict, 2 only demands that some route to the source exists, 0 is off.",
      "The larger of the device's and `all`'s value counts.",
    ],
    see: ["martian"],
  },
  {
    term: "martian",
    lines: [
      "A packet with an address that cannot be right where it was seen.",
      "As 127.0.0.1 from outside, or a source that is the machine's own address.",
      "Linux drops it, and logs it where log_martians is on.",
    ],
    see: ["rp_filter"],
  },
  // sizes
  {
    term: "MTU",
    lines: [
      "The largest packet, in bytes, that a device takes.",
      "Ethernet has 1500; a tunnel's device needs less by what its headers add.",
      "Where one hop's is smaller than the sender knows, large packets get lost: it stalls.",
    ],
    see: ["PMTU", "stalls", "VXLAN"],
  },
  {
    term: "PMTU",
    aliases: ["path MTU", "path MTU discovery"],
    lines: [
      "The smallest MTU on the way to a destination.",
      'A router that must not cut a packet says so with ICMP "too big", and the sender remembers.',
      "Where that message is filtered, or a bridge drops without a word, nobody learns it.",
    ],
    see: ["MTU", "stalls"],
  },
  {
    term: "MSS",
    lines: [
      "The largest piece of data that a TCP side wants in one segment: its MTU less 40 bytes (IPv4).",
      "Each side names it in its SYN.",
      "It knows only the two ends' MTUs, not those between.",
    ],
    see: ["MTU", "PMTU"],
  },
  {
    term: "fragmentation",
    aliases: ["fragment"],
    lines: [
      "A packet that is larger than the MTU is cut into pieces, if it may be cut.",
      "TCP forbids it (the DF bit) and relies on path MTU discovery; IPv6 routers never do it.",
      "Only the first piece has the ports, so firewalls put them together before they judge.",
    ],
    see: ["MTU"],
  },
  {
    term: "stalls",
    aliases: ["stalled", "black hole"],
    lines: [
      "A connection that opens and then hangs: small packets pass, full-sized ones do not.",
      "The usual cause is an MTU too large somewhere on the way, with nobody to say so.",
      "cnilab sends a full-sized segment each way to tell this from a connection that works.",
    ],
    see: ["MTU", "PMTU"],
  },
  {
    term: "refused",
    lines: [
      'Somebody answered no: a TCP RST, or ICMP "port unreachable".',
      "The packet arrived, but no program listens there, or a REJECT rule answered in its place.",
      "kube-proxy does the latter for a Service without ready endpoints.",
    ],
    see: ["unreachable", "verdict"],
  },
  {
    term: "unreachable",
    lines: [
      "A router, or the machine itself, knows no way: no route, or a next hop that does not answer.",
      'Clients see "no route to host" or "network is unreachable", or nothing at all.',
      "A packet that is dropped without an answer ends here as well.",
    ],
    see: ["refused"],
  },
  {
    term: "blocked",
    lines: [
      "A policy's rule dropped or rejected the packet.",
      "Where it drops, the client waits until it gives up; where it rejects, it knows at once.",
      "A trace names the rule, and the NetworkPolicy it was made from.",
    ],
    see: ["policy"],
  },
  // netfilter
  {
    term: "netfilter",
    aliases: ["iptables"],
    lines: [
      "The kernel's places (hooks) where rules look at packets; iptables and nft program them.",
      "Tables group rules by purpose: raw, mangle, nat, filter.",
      "`iptables-save` prints all of them.",
    ],
    see: ["hook", "table", "chain"],
  },
  {
    term: "hook",
    aliases: ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
    lines: [
      "A place on a packet's way where rules are asked.",
      "PREROUTING before routing, INPUT for the machine itself, FORWARD for others,",
      "OUTPUT for its own packets, POSTROUTING last of all.",
    ],
    see: ["netfilter", "chain"],
  },
  {
    term: "table",
    lines: [
      "A group of chains with one purpose: nat translates, filter accepts or drops, mangle marks.",
      "At each hook the tables are asked in a fixed order.",
      "The nat table sees the first packet of a connection only.",
    ],
    see: ["chain", "conntrack"],
  },
  {
    term: "chain",
    lines: [
      "A list of rules, asked from the top until one decides.",
      "Built-in chains hang on hooks; others are reached by a jump, and return at their end.",
      "Only built-in chains have a policy.",
    ],
    see: ["hook", "verdict", "default policy"],
  },
  {
    term: "verdict",
    lines: [
      "What a rule decides: ACCEPT ends this table's chain, DROP ends the packet,",
      "REJECT drops it and says so to the sender, RETURN goes back to the calling chain.",
      "An ACCEPT in one table does not keep another from dropping it.",
    ],
    see: ["chain"],
  },
  {
    term: "default policy",
    lines: [
      "What a built-in chain does with a packet that no rule has decided: ACCEPT or DROP.",
      "Docker sets FORWARD's to DROP, which catches pods' packets unless a rule accepts them.",
      "It has nothing to do with NetworkPolicy.",
    ],
    see: ["chain", "policy"],
  },
  {
    term: "mark",
    aliases: ["fwmark"],
    lines: [
      "A number that rules write on a packet and others read; it never leaves the machine.",
      'kube-proxy uses bit 0x4000 to say "masquerade this later".',
      "Route rules can choose a table by it.",
    ],
    see: ["KUBE-MARK-MASQ", "rule"],
  },
  {
    term: "conntrack",
    aliases: ["connection tracking"],
    lines: [
      "The kernel's table of connections: how each began, and how its answers look.",
      "NAT is decided for the first packet and repeated for the rest from this table.",
      "An entry that is too old keeps sending a UDP flow to an endpoint that is gone.",
    ],
    see: ["NAT", "established"],
  },
  {
    term: "established",
    aliases: ["related"],
    lines: [
      "The state of a packet whose connection has been seen in both directions.",
      "Firewalls accept it without asking further rules: answers pass by themselves.",
      "RELATED is a new flow that belongs to one, such as an ICMP error about it.",
    ],
    see: ["conntrack"],
  },
  {
    term: "NAT",
    lines: [
      "A machine changes the addresses or ports of packets that pass, and puts them back in answers.",
      "DNAT changes where a packet goes, SNAT where it seems to come from.",
      "Answers have to come back by the same machine, or nobody puts them back.",
    ],
    see: ["DNAT", "SNAT", "conntrack"],
  },
  {
    term: "DNAT",
    lines: [
      "The destination is changed: so a Service's address becomes an endpoint's.",
      "It happens before routing (PREROUTING), or in OUTPUT for the machine's own packets.",
      "The answer's source is changed back, so the client hears from whom it asked.",
    ],
    see: ["NAT", "ClusterIP"],
  },
  {
    term: "SNAT",
    lines: [
      "The source is changed, so that answers come back to this machine.",
      "It happens last of all, in POSTROUTING.",
      "The server sees the machine's address, not the client's.",
    ],
    see: ["NAT", "masquerade"],
  },
  {
    term: "masquerade",
    lines: [
      "SNAT to whatever address the outgoing device has.",
      "Flannel and the bridge plugin do it for pods that talk to the world outside the cluster.",
      "kube-proxy does it where an answer would otherwise not find its way back.",
    ],
    see: ["SNAT", "KUBE-MARK-MASQ"],
  },
  {
    term: "ipset",
    lines: [
      "A set of addresses, networks or ports that one rule can look up at once.",
      "It takes the same time for ten members as for ten thousand.",
      "Policy agents keep the pods of a selector in one.",
    ],
    see: ["policy"],
  },
  {
    term: "nftables",
    aliases: ["nft"],
    lines: [
      "The successor of iptables: one tool, tables made by oneself, sets and maps inside.",
      "iptables on today's distributions is written to the same kernel engine.",
      "kube-proxy's mode for it (stable since 1.33, to become the default) looks Services up in a map.",
    ],
    see: ["vmap", "netfilter"],
  },
  {
    term: "vmap",
    aliases: ["verdict map"],
    lines: [
      "A map in nftables from a value to a verdict: one look-up in place of a list of rules.",
      "`ip daddr . meta l4proto . th dport vmap @service-ips` finds a Service whatever their number.",
      "Its iptables counterpart is a chain with a rule for each Service.",
    ],
    see: ["nftables", "KUBE-SERVICES"],
  },
  {
    term: "br_netfilter",
    aliases: ["bridge-nf-call-iptables"],
    lines: [
      "A module that shows frames which a bridge only switches to iptables as well.",
      "Without it two pods behind one bridge answer each other past conntrack, and Services break.",
      "The sysctl is net.bridge.bridge-nf-call-iptables.",
    ],
    see: ["bridge", "conntrack"],
  },
  {
    term: "IPVS",
    lines: [
      "The kernel's own load balancer: virtual servers with real servers behind.",
      "kube-proxy's mode of that name keeps Services in it, and their addresses on kube-ipvs0.",
      "Schedulers go from round robin to least connections. kube-proxy's mode is deprecated since 1.35.",
    ],
    see: ["kube-proxy"],
  },
  {
    term: "eBPF",
    aliases: ["bpf"],
    lines: [
      "Small checked programs that the kernel runs at hooks, with maps that they share with user space.",
      "Cilium forwards, balances and filters with them in place of iptables.",
      "They can redirect a packet past most of the stack.",
    ],
  },
  // Windows
  {
    term: "HNS",
    aliases: ["Host Networking Service", "HCN"],
    lines: [
      "The service of Windows that keeps networks, endpoints and load balancers of containers.",
      "CNI plugins, flanneld and kube-proxy ask it for them; it programs the virtual switch and VFP.",
      "`hnsdiag list` prints what it holds.",
    ],
    see: ["VFP", "DSR"],
  },
  {
    term: "VFP",
    aliases: ["Virtual Filtering Platform"],
    pattern: /^(LB_DSR_IPv|LB_(IN|OUT)$|SLB_GROUP_NAT_|VNET_GROUP_ENCAP_|ACL_ENDPOINT_GROUP_)/,
    lines: [
      "The part of Windows' virtual switch that does what iptables does on Linux: rules at each port.",
      "Layers hold groups of rules; in each group the first that matches takes the packet.",
      "What it decided of a flow it remembers, so that later packets and answers meet no rules.",
    ],
    see: ["HNS", "DSR"],
  },
  {
    term: "DSR",
    aliases: ["direct server return"],
    lines: [
      "The endpoint of a Service answers its client itself, past the load balancer.",
      "On Windows the client's own port translates, so the endpoint sees the client's address.",
      "Without it the host's port translates both ends, and the endpoint sees the host.",
    ],
    see: ["VFP", "source VIP"],
  },
  {
    term: "source VIP",
    lines: [
      "An address of a Windows node's pod range that is set aside for its load balancer.",
      "What the host sends into an overlay comes from there, or the answer would not find back.",
      "kube-proxy is told of it by --source-vip; l2bridge networks need none.",
    ],
    see: ["DSR"],
  },
  // kube-proxy's chains
  {
    term: "KUBE-SERVICES",
    lines: [
      "kube-proxy's entry chain in the nat table, reached from PREROUTING and OUTPUT.",
      "It has a rule for each Service's address and port that jumps to that Service's chain.",
      "Its last rule catches node ports.",
    ],
    see: ["KUBE-SVC", "KUBE-NODEPORTS"],
  },
  {
    term: "KUBE-SVC",
    pattern: /^KUBE-SVC(-.*)?$/i,
    lines: [
      "The chain of one Service port; the letters are a hash of its name, port and protocol.",
      "It marks what has to be masqueraded, then picks an endpoint by chance,",
      "with rules of probability 1/3, 1/2 and 1 for three of them.",
    ],
    see: ["KUBE-SEP", "KUBE-MARK-MASQ"],
  },
  {
    term: "KUBE-SEP",
    pattern: /^KUBE-SEP(-.*)?$/i,
    lines: [
      "The chain of one endpoint of a Service port.",
      "Its DNAT rule writes the pod's address and port into the packet.",
      "Before it, a rule marks packets that come from that very pod, for hairpin.",
    ],
    see: ["DNAT", "hairpin"],
  },
  {
    term: "KUBE-EXT",
    pattern: /^KUBE-EXT(-.*)?$/i,
    lines: [
      "The chain for what reaches a Service from outside: node port, external IP, load balancer.",
      "With externalTrafficPolicy Cluster it masquerades and goes on to the Service's chain;",
      "with Local it goes to the node's own endpoints and keeps the client's address.",
    ],
    see: ["externalTrafficPolicy", "KUBE-SVL"],
  },
  {
    term: "KUBE-SVL",
    pattern: /^KUBE-SVL(-.*)?$/i,
    lines: [
      "A Service's chain of endpoints on this node alone.",
      "externalTrafficPolicy or internalTrafficPolicy Local leads to it.",
      "Where the node has none, the packet is dropped.",
    ],
    see: ["externalTrafficPolicy"],
  },
  {
    term: "KUBE-FW",
    pattern: /^KUBE-FW(-.*)?$/i,
    lines: [
      "The chain that admits a load balancer's clients by loadBalancerSourceRanges.",
      "Who is in a range goes on to the Service.",
      "Everybody else is dropped in KUBE-PROXY-FIREWALL.",
    ],
  },
  {
    term: "KUBE-NODEPORTS",
    lines: [
      "The chain with a rule for each node port.",
      "It is asked for packets to any of the node's own addresses, as the last rule of KUBE-SERVICES.",
      "From there it goes on to KUBE-EXT-….",
    ],
    see: ["NodePort"],
  },
  {
    term: "KUBE-MARK-MASQ",
    lines: [
      "A chain with one rule: it sets bit 0x4000 of the packet's mark.",
      "Nothing is translated yet; it only remembers that it has to be.",
      "KUBE-POSTROUTING masquerades what carries the bit.",
    ],
    see: ["mark", "KUBE-POSTROUTING"],
  },
  {
    term: "KUBE-POSTROUTING",
    lines: [
      "kube-proxy's chain at the end of the way out.",
      "What does not carry the mark 0x4000 returns at once.",
      "The rest loses the bit and is masqueraded.",
    ],
    see: ["masquerade", "KUBE-MARK-MASQ"],
  },
  {
    term: "KUBE-FORWARD",
    lines: [
      "kube-proxy's chain in filter FORWARD.",
      "It accepts what carries its mark, and what belongs to a known connection.",
      "So node ports work even where FORWARD's policy is DROP.",
    ],
    see: ["default policy"],
  },
  {
    term: "FLANNEL-FWD",
    lines: [
      "Flannel's chain in filter FORWARD.",
      "It accepts packets from and to the cluster's pod range.",
      "Without it a FORWARD policy of DROP would stop pods on different nodes.",
    ],
    see: ["default policy"],
  },
  {
    term: "FLANNEL-POSTRTG",
    lines: [
      "Flannel's chain in nat POSTROUTING.",
      "Pod to pod is left alone; pod to the world outside is masqueraded.",
      "Its RETURN rules therefore come before the MASQUERADE ones.",
    ],
    see: ["masquerade"],
  },
  // Kubernetes
  {
    term: "ClusterIP",
    aliases: ["Service", "service IP"],
    lines: [
      "An address of a Service that no device has: every node translates it to an endpoint's (DNAT).",
      "It answers for the Service's ports only; pinging it says nothing.",
      "It is handed out from the service range, 10.96.0.0/12 by default.",
    ],
    see: ["DNAT", "kube-proxy", "EndpointSlice"],
  },
  {
    term: "NodePort",
    lines: [
      "A port from 30000 to 32767 that every node answers for a Service.",
      "The node that is asked may send on to a pod elsewhere, and then masquerades.",
      "No program listens on it: rules take the packet before.",
    ],
    see: ["KUBE-NODEPORTS", "externalTrafficPolicy"],
  },
  {
    term: "LoadBalancer",
    aliases: ["load balancer", "status.loadBalancer"],
    lines: [
      "A Service type: a provider gives it an address that the world reaches, and writes it into its status.",
      "Packets come to nodes as they were sent (ipMode VIP), or from the load balancer to a node port (Proxy).",
      "kube-proxy's rules take a VIP on every node, so pods that call it never leave the cluster.",
    ],
    see: ["NodePort", "externalTrafficPolicy", "healthCheckNodePort", "layer 2 mode"],
  },
  {
    term: "healthCheckNodePort",
    lines: [
      "A port on every node where kube-proxy says whether the node has a ready endpoint of its own.",
      "200 where it has, 503 where not; a Service has one with externalTrafficPolicy Local.",
      "With policy Cluster any node will do, and kube-proxy's /healthz on port 10256 is asked.",
    ],
    see: ["LoadBalancer", "externalTrafficPolicy"],
  },
  {
    term: "layer 2 mode",
    aliases: ["l2", "MetalLB"],
    lines: [
      "Load balancing without a load balancer: one node answers ARP for the Service's address.",
      "A hash over node name and address says which; when it is lost, the next one tells all by gratuitous ARP.",
      "MetalLB made it known. All packets enter by that one node.",
    ],
    see: ["ARP", "LoadBalancer"],
  },
  {
    term: "externalIPs",
    lines: [
      "Addresses that kube-proxy takes for a Service, and that somebody else must bring to the nodes.",
      "Nobody checks that they are one's own, so they can be used to take over traffic (CVE-2020-8554).",
      "Deprecated since 1.36.",
    ],
    see: ["LoadBalancer"],
  },
  {
    term: "hostPort",
    lines: [
      "A port of the node that leads to one pod there, by DNAT of the CNI plugin portmap.",
      "No two pods on a node can have the same one, so the scheduler keeps them apart.",
      "It does not pass kube-proxy, and no other node answers on it.",
    ],
    see: ["NodePort", "DNAT"],
  },
  {
    term: "externalTrafficPolicy",
    aliases: ["internalTrafficPolicy"],
    lines: [
      "Cluster: traffic from outside may go to pods on any node, and the client's address is lost.",
      "Local: only pods of the node that was asked, and the client's address is kept.",
      "internalTrafficPolicy says the same of traffic from inside.",
    ],
    see: ["NodePort"],
  },
  {
    term: "EndpointSlice",
    aliases: ["endpoints"],
    lines: [
      "The list of a Service's pods with address, port, readiness and node, at most 100 a slice.",
      "A controller keeps it up to date from pods and the Service's selector.",
      "kube-proxy turns it into rules; a pod that is not ready is left out.",
    ],
    see: ["kube-proxy"],
  },
  {
    term: "headless",
    aliases: ["headless Service"],
    lines: [
      "A Service with clusterIP None: it has no address, and kube-proxy does nothing for it.",
      "DNS answers with the pods' own addresses instead.",
      "StatefulSets use it to give each pod a name.",
    ],
  },
  {
    term: "kube-proxy",
    lines: [
      "The agent on each node that turns Services and EndpointSlices into kernel rules.",
      "Despite its name no packet passes through it.",
      "If it stops, existing rules stay and grow old.",
    ],
    see: ["KUBE-SERVICES", "nftables", "IPVS"],
  },
  {
    term: "kubelet",
    lines: [
      "The agent on each node that starts pods.",
      "It has the container runtime make a pod's namespace and call the CNI plugins.",
      "It probes containers from the node, which is why policies let the own node in.",
    ],
    see: ["CNI"],
  },
  {
    term: "CNI",
    aliases: ["Container Network Interface"],
    lines: [
      "The contract between a container runtime and network plugins: ADD, DEL, CHECK on a namespace.",
      "A plugin is a program; its input is JSON, its answer the addresses it gave.",
      "People also say CNI for the whole network, as Flannel or Calico.",
    ],
    see: ["conflist", "delegate", "IPAM"],
  },
  {
    term: "conflist",
    aliases: ["10-flannel.conflist"],
    lines: [
      "The JSON file in /etc/cni/net.d with the plugins that a pod gets, in order.",
      "The runtime takes the first file by name.",
      'Without one the node stays NotReady: "cni plugin not initialized".',
    ],
    see: ["CNI", "delegate"],
  },
  {
    term: "delegate",
    lines: [
      "A CNI plugin may call another to do the work.",
      "Flannel's plugin writes a configuration from subnet.env and delegates to the bridge plugin.",
      "That one in turn calls host-local for addresses.",
    ],
    see: ["subnet.env", "host-local"],
  },
  {
    term: "IPAM",
    lines: [
      "IP address management: who gets which address, and gives it back when.",
      "For Kubernetes it happens in two steps: a range for each node, an address for each pod.",
      "A range that is used up leaves pods in ContainerCreating.",
    ],
    see: ["host-local", "podCIDR"],
  },
  {
    term: "host-local",
    lines: [
      "The IPAM plugin that hands out addresses from a node's range, in turn.",
      "It keeps a file for each in /var/lib/cni/networks, with nobody to ask elsewhere.",
      "Files that are left behind after a crash leak addresses.",
    ],
    see: ["IPAM"],
  },
  {
    term: "podCIDR",
    aliases: ["pod CIDR", "cluster CIDR"],
    lines: [
      "The range of addresses that a node may give to its pods, in the Node's spec.",
      "The controller manager cuts it from the cluster's range, a /24 of 10.244.0.0/16 by default.",
      "Flannel reads it as its lease; some CNIs have their own ranges and ignore it.",
    ],
    see: ["lease", "IPAM"],
  },
  {
    term: "lease",
    lines: [
      "Flannel's record that a node has a pod range, with the node's address and VTEP MAC.",
      "It is kept as annotations of the Node.",
      "Every flanneld watches all of them and programs routes, neighbours and FDB from it.",
    ],
    see: ["flannel.1", "subnet.env"],
  },
  {
    term: "subnet.env",
    lines: [
      "The file /run/flannel/subnet.env, by which flanneld tells the plugin range, MTU and masquerading.",
      "FLANNEL_SUBNET is the gateway with its prefix length, as 10.244.1.1/24.",
      'Without it pods fail with "open /run/flannel/subnet.env: no such file".',
    ],
    see: ["lease", "delegate"],
  },
  {
    term: "policy",
    aliases: ["NetworkPolicy"],
    lines: [
      "A list of who may talk to the pods it selects, and to whom they may.",
      "A pod that no policy selects may do everything; one that is selected only what is allowed.",
      "Flannel enforces none: it takes another agent to do so. Calico enforces them, and has kinds of its own.",
    ],
    see: ["blocked", "ipset"],
  },
  {
    term: "hostNetwork",
    lines: [
      "A pod that has no network namespace of its own but uses the node's.",
      "Its address is the node's, and its ports are taken on the node.",
      "Policies for pods mostly do not catch it.",
    ],
    see: ["netns"],
  },

  // doors
  {
    term: "Ingress",
    lines: [
      "Rules by host and path that say which Service an HTTP request is for: one door for many Services.",
      "It does nothing by itself. A controller of its class reads it and serves it from pods of its own.",
      "Only HTTP on port 80 and HTTPS on 443; other protocols need a Service or the Gateway API.",
    ],
    see: ["IngressClass", "ingress controller", "Gateway API"],
  },
  {
    term: "IngressClass",
    lines: [
      "Names a kind of Ingress and the controller that serves it (`spec.controller`).",
      "An Ingress without a class gets the default one, or none: then nobody serves it and its status stays empty.",
      "A class that no controller claims leads nowhere, and nothing says so but the missing address.",
    ],
    see: ["Ingress", "ingress controller"],
  },
  {
    term: "ingress controller",
    aliases: ["ingress-nginx", "reverse proxy"],
    lines: [
      "Pods that end a client's connection, choose by rules, and open a connection of their own to an endpoint.",
      "They take endpoints from EndpointSlices, past the Service's address: no kube-proxy rule is met there.",
      "The endpoint sees the controller's pod as its client, and policies must let that in.",
    ],
    see: ["Ingress", "X-Forwarded-For", "EndpointSlice"],
  },
  {
    term: "Gateway API",
    aliases: ["GatewayClass", "listener", "ListenerSet"],
    lines: [
      "The successor of Ingress: a Gateway has listeners, routes attach to them, its GatewayClass says who serves.",
      "Both must agree: the route names the Gateway in parentRefs, the listener lets it in by allowedRoutes.",
      "What came of it stands in status: Accepted, ResolvedRefs, Programmed, each with a reason.",
    ],
    see: ["HTTPRoute", "ReferenceGrant", "Ingress"],
  },
  {
    term: "HTTPRoute",
    aliases: ["GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"],
    lines: [
      "Matches of host, path, header, query and method, each with backends by weight and filters on the way.",
      "Of all rules on a listener the most specific wins: host, path, method, headers, query; then the oldest.",
      "GRPCRoute matches calls, TLSRoute the name in the handshake; TCPRoute and UDPRoute take a whole port.",
    ],
    see: ["Gateway API", "SNI"],
  },
  {
    term: "ReferenceGrant",
    lines: [
      "Lets objects of other namespaces refer to Services or Secrets of its own.",
      "Without it a route's backend elsewhere is RefNotPermitted, and its share of requests gets a 500.",
      "It is not needed for parentRefs: there the listener's allowedRoutes decides.",
    ],
    see: ["Gateway API", "HTTPRoute"],
  },
  {
    term: "SNI",
    aliases: ["Server Name Indication", "TLS termination", "passthrough"],
    lines: [
      "The name that a client says in the first message of a TLS handshake, before anything is encrypted.",
      "By it a door chooses the certificate, or passes the whole connection on unread (passthrough).",
      "A certificate that is not for the name ends the connection at the client: nothing reaches the backend.",
    ],
    see: ["Ingress", "HTTPRoute"],
  },
  {
    term: "X-Forwarded-For",
    aliases: ["X-Real-IP", "X-Forwarded-Proto"],
    lines: [
      "Header field in which a proxy tells the backend the client's address: the packets come from the proxy.",
      "ingress-nginx replaces what the client claims; others append, and only the last entries can be trusted.",
      "It is the client's own address only if no Service on the way rewrote the source (externalTrafficPolicy).",
    ],
    see: ["ingress controller", "externalTrafficPolicy"],
  },
  // names
  {
    term: "CoreDNS",
    aliases: ["kube-dns", "cluster DNS"],
    lines: [
      "The cluster's DNS server: pods in kube-system behind the Service kube-dns, which every pod's resolver asks.",
      "It watches Services, EndpointSlices, namespaces and pods, and makes records of them: SERVICE.NS.svc.ZONE.",
      "What is not the cluster's it forwards to the node's own name servers, and keeps answers for 30 seconds.",
    ],
    see: ["Corefile", "search path"],
  },
  {
    term: "Corefile",
    lines: [
      "CoreDNS' configuration: blocks of zone and port, each with plugins; in a cluster it is a ConfigMap.",
      "Plugins stand in the order in which CoreDNS was built, whatever their order in the file.",
      "Each answers, changes the question or the answer, or hands on to the next: `fallthrough` hands on NXDOMAIN.",
    ],
    see: ["CoreDNS", "NXDOMAIN"],
  },
  {
    term: "search path",
    aliases: ["search list", "search domain", "resolv.conf"],
    lines: [
      "Endings that a resolver tries behind a short name, in order: NS.svc.ZONE, svc.ZONE, ZONE, the host's own.",
      "They stand in /etc/resolv.conf, which the kubelet writes for each pod by its dnsPolicy and dnsConfig.",
      "`web` is web in the pod's own namespace, `web.shop` that of another; what is nowhere costs all of them.",
    ],
    see: ["ndots"],
  },
  {
    term: "ndots",
    lines: [
      "How many dots a name must have to be asked for as it is before the search path is walked; 5 in pods.",
      "`www.example.com` has two: a pod asks three names of the cluster, A and AAAA each, before the right one.",
      "A dot at the end ends all that: `www.example.com.` is asked once.",
    ],
    see: ["search path", "autopath"],
  },
  {
    term: "SRV",
    lines: [
      "A DNS record that says port and host of a service: _http._tcp.web.shop.svc.cluster.local.",
      "A cluster IP has one for each named port, a headless Service one for each ready endpoint.",
      "Priority is 0; weights are 100 shared among the answers.",
    ],
    see: ["headless", "EndpointSlice"],
  },
  {
    term: "NXDOMAIN",
    lines: [
      "The answer to a name that is not there, for no type of record at all.",
      "A resolver goes on with the next name of its search path; CoreDNS may fall through to the next plugin.",
      "A headless Service without a ready endpoint has no name either.",
    ],
    see: ["NODATA", "SOA"],
  },
  {
    term: "NODATA",
    lines: [
      "The answer to a name that is there and lacks records of this type: code NOERROR, no answer, an SOA.",
      "A Service with an IPv4 address alone gives it for AAAA, and so does a namespace's own name.",
      "glibc goes on with the search path after it, musl gives up.",
    ],
    see: ["NXDOMAIN"],
  },
  {
    term: "SOA",
    aliases: ["start of authority"],
    lines: [
      "The record of a zone itself: its name server, whom to write to, a serial number, times.",
      "It comes along with NXDOMAIN and NODATA and says how long that may be remembered: its own TTL.",
      "CoreDNS' serial number for the cluster is the moment of the last change that it saw.",
    ],
    see: ["NXDOMAIN", "NODATA"],
  },
  {
    term: "autopath",
    lines: [
      "A plugin of CoreDNS that walks the search path on the server: one question in place of eight.",
      "It finds the pod by the source address, and so must watch all pods: `pods verified`.",
      "The answer is a CNAME from the name that was asked to the one that was found.",
    ],
    see: ["search path", "ndots"],
  },
  {
    term: "NodeLocal DNSCache",
    aliases: ["node-local-dns"],
    lines: [
      "A DNS cache on every node, on 169.254.20.10 and, with iptables, on the kube-dns address as well.",
      "Its packets are exempt from connection tracking, so that none is lost in a race for an entry.",
      "What it does not know it asks CoreDNS over TCP, and keeps 30 seconds, or 5 where there is nothing.",
    ],
    see: ["CoreDNS", "conntrack"],
  },
  ...CALICO_GLOSSARY,
  ...CILIUM_GLOSSARY,
  ...WEAVE_GLOSSARY,
  ...COMPARISON_GLOSSARY,
];
