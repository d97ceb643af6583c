import type { GlossaryEntry } from "./glossary-entry.ts";

/** Calico's own words. */
export const CALICO_GLOSSARY: readonly GlossaryEntry[] = [
  // who does what
  {
    term: "Calico",
    aliases: ["calico-node", "projectcalico"],
    lines: [
      "A CNI that routes: every pod has an address of its own and a route to it, and there is no bridge.",
      "Its calico-node pod runs Felix and BIRD on every node; calico-ipam hands out addresses by blocks.",
      "It has policies of its own beside Kubernetes': with tiers, order, deny rules, and for nodes, too.",
    ],
    see: ["Felix", "BIRD", "IP block", "tier"],
  },
  {
    term: "Felix",
    lines: [
      "Calico's agent on a node: it programs policies, IP sets, routes to local pods, and tunnels.",
      "It looks only at what its own node needs: policies that select a pod or device there, and their sets.",
      "Until it is in sync with the API server it changes nothing.",
    ],
    see: ["calc graph", "workload endpoint", "cali-FORWARD"],
  },
  {
    term: "calc graph",
    aliases: ["calculation graph"],
    lines: [
      "Felix's inner half: it turns objects into policies, IP sets, endpoints and routes for one node.",
      "Selectors become IP sets there, and policies get their order within tiers.",
      "The other half, the dataplane, writes that into iptables or nftables and the routing table.",
    ],
    see: ["Felix", "Calico selector"],
  },
  {
    term: "Typha",
    lines: [
      "Stands between the API server and many Felixes: one watch for all of them.",
      "It holds a snapshot, sends it to each new client, and then what changes.",
      "Used from about 50 nodes on; needed from about 100.",
    ],
    see: ["Felix"],
  },
  {
    term: "BIRD",
    lines: [
      "The BGP speaker in calico-node: it tells other nodes and routers which blocks its node has.",
      "What it learns it writes into the node's routing table, marked `proto bird`.",
      "It leaves pools with VXLAN to Felix, and, unless told otherwise, those with IPIP.",
    ],
    see: ["BGP", "Felix", "IP block"],
  },
  {
    term: "calicoctl",
    lines: [
      "Calico's own command line: it knows pools, blocks and BGP sessions that kubectl shows raw.",
      "`calicoctl ipam show --show-blocks` lists blocks; `calicoctl node status` the BGP sessions of a node.",
      "It checks what it is given before it stores it, as Calico's API server does.",
    ],
    see: ["IPPool", "BGP"],
  },

  // a pod's network
  {
    term: "workload endpoint",
    aliases: ["WorkloadEndpoint", "WEP"],
    lines: [
      "A pod as Calico sees it: its device on the node, addresses, labels, named ports and profiles.",
      "It is made from the Pod; pods with hostNetwork have none, and so no policy of Calico's selects them.",
      "Its labels are the pod's, and by the prefixes pcns. and pcsa. its namespace's and ServiceAccount's.",
    ],
    see: ["cali", "profile", "host endpoint"],
  },
  {
    term: "cali",
    aliases: ["cali device", "caliXXX"],
    pattern: /^cali[0-9a-f]{11}$/i,
    lines: [
      "The node's end of a pod's veth: cali and eleven hex digits, a hash of the pod's namespace and name.",
      "It is in no bridge and has no address. A route sends the pod's one address to it: 10.48.0.5 dev cali….",
      "Its MAC is ee:ee:ee:ee:ee:ee on every node: nothing but this one pod is ever at the other end.",
    ],
    see: ["169.254.1.1", "veth", "workload endpoint"],
  },
  {
    term: "169.254.1.1",
    aliases: ["link-local gateway"],
    lines: [
      "The default gateway of every pod of Calico's, and an address that nobody has.",
      "The pod asks for its MAC; the node answers by proxy ARP, as it knows some other way there.",
      "So no address is spent on gateways, and a pod can move without a change inside.",
    ],
    see: ["proxy ARP", "cali"],
  },

  // addresses
  {
    term: "IPPool",
    aliases: ["IP pool", "pool"],
    lines: [
      "A range that pods get addresses from, and how packets to it travel: IPIP, VXLAN or as they are.",
      "Selectors of nodes and namespaces say who may use it; `natOutgoing` masquerades what leaves all pools.",
      "Its range and block size cannot be changed: a new pool is made and the old one disabled.",
    ],
    see: ["IP block", "CrossSubnet", "natOutgoing"],
  },
  {
    term: "IP block",
    aliases: ["block", "IPAMBlock"],
    lines: [
      "A piece of a pool, a /26 of 64 addresses unless told otherwise, that a node claims for its pods.",
      "Routes go by blocks, so that other nodes need one route for many pods.",
      "Its own node has a blackhole route for it: what goes to a free address dies there.",
    ],
    see: ["block affinity", "IPPool", "blackhole"],
  },
  {
    term: "block affinity",
    aliases: ["BlockAffinity", "affinity"],
    lines: [
      "Says whose block it is. It is claimed in steps (pending, confirmed), so that two nodes cannot both win.",
      "A node keeps an empty block; it loses it when it goes, or when another needs one and none is left.",
      "A block without affinity is only borrowed from.",
    ],
    see: ["IP block", "borrowed address"],
  },
  {
    term: "borrowed address",
    aliases: ["borrowing", "borrowed IP"],
    lines: [
      "A pod's address out of another node's block, when there was no block left to claim.",
      "It needs a route of its own, a /32, on every node: many of them make routing tables grow.",
      "`calicoctl ipam show --show-borrowed` lists them; strict affinity forbids them.",
    ],
    see: ["IP block", "strict affinity"],
  },
  {
    term: "strict affinity",
    aliases: ["strictAffinity"],
    lines: [
      "A setting of IPAM: a node takes addresses from its own blocks alone.",
      "Without free blocks its pods then wait for an address, though other blocks have room.",
      "Needed where the routes to /32 addresses would not be known, as on Windows or on some clouds.",
    ],
    see: ["borrowed address", "block affinity"],
  },
  {
    term: "IPAM handle",
    aliases: ["handle", "IPAMHandle"],
    lines: [
      "The name under which Calico's IPAM has given an address: k8s-pod-network. and the container's id.",
      "By it all addresses of a pod are given back at once, whichever blocks they are from.",
      "Tunnels have handles as well: vxlan-tunnel-addr-node1.",
    ],
    see: ["IPAM", "IP block"],
  },
  {
    term: "IPReservation",
    lines: [
      "Addresses of a pool that are not given out by themselves, as those of a gateway.",
      "A pod that asks for one by annotation still gets it.",
      "What is in use already stays so.",
    ],
    see: ["IPPool"],
  },
  {
    term: "natOutgoing",
    lines: [
      "A setting of a pool: what its pods send to addresses outside of all pools is masqueraded.",
      "The world then sees the node's address; between pods nothing is changed.",
      "In iptables it is the chain cali-nat-outgoing with the sets cali40masq-ipam-pools and others.",
    ],
    see: ["IPPool", "masquerade"],
  },
  {
    term: "blackhole",
    aliases: ["blackhole route"],
    lines: [
      "A route that drops: packets to an address within it that no longer route takes end there, silently.",
      "Calico puts one on a node for each of its own blocks.",
      "Without it such a packet would follow the default route out, and a router would send it back: a loop.",
    ],
    see: ["IP block", "route table"],
  },

  // between nodes
  {
    term: "CrossSubnet",
    lines: [
      "A pool's way of encapsulating: only to nodes in another subnet than one's own.",
      "Within a subnet the next hop is the other node itself, and packets stay as they are.",
      "Which subnet a node is in is told by the mask of its address in projectcalico.org/IPv4Address.",
    ],
    see: ["IPIP", "VXLAN", "IPPool"],
  },
  {
    term: "tunl0",
    lines: [
      "The device of Linux's ipip module: Calico's tunnel for pools with ipipMode.",
      "A route says to which node a packet goes: 10.48.1.0/26 via 192.168.0.12 dev tunl0 onlink.",
      "It takes 20 bytes of each packet, so its MTU is 1480 on Ethernet.",
    ],
    see: ["IPIP", "MTU", "Felix"],
  },
  {
    term: "vxlan.calico",
    aliases: ["vxlan-v6.calico"],
    lines: [
      "Calico's VXLAN device: network 4096 on UDP port 4789; it learns nothing and floods nothing.",
      "Felix tells it each other node: a route, a permanent neighbour, and an FDB entry with the node's address.",
      "Its own address is a /32 out of the node's block.",
    ],
    see: ["VXLAN", "VTEP", "FDB"],
  },
  {
    term: "wireguard.cali",
    lines: [
      "Calico's WireGuard device: with wireguardEnabled, packets to other nodes' pods go through it encrypted.",
      "A rule sends what bears no mark to a table of its own, and that to the device.",
      "A node without a key is reached the plain way.",
    ],
    see: ["WireGuard", "rule", "mark"],
  },
  {
    term: "BGP",
    aliases: ["Border Gateway Protocol", "BGP session"],
    lines: [
      "How routers, and nodes with Calico, tell each other their ranges: over TCP port 179.",
      "A session that is down longer than its hold time takes all the routes that it told with it.",
      "`calicoctl node status` shows a node's sessions and whether they are Established.",
    ],
    see: ["BIRD", "full mesh", "route reflector", "AS number"],
  },
  {
    term: "AS number",
    aliases: ["ASN", "autonomous system"],
    lines: [
      "The number of a network under one rule. Nodes of a cluster share 64512 unless told otherwise.",
      "Sessions within a number (iBGP) do not pass on what they heard from another such session.",
      "Sessions between numbers (eBGP) do, with the number put before the path.",
    ],
    see: ["BGP", "full mesh"],
  },
  {
    term: "full mesh",
    aliases: ["node-to-node mesh", "mesh"],
    lines: [
      "Every node has a BGP session with every other: n(n-1)/2 of them, 4,950 for 100 nodes.",
      "It is how Calico starts out: iBGP passes nothing on, so each must hear it from whom it is of.",
      "Beyond a hundred nodes or so, route reflectors take its place.",
    ],
    see: ["route reflector", "BGP"],
  },
  {
    term: "route reflector",
    aliases: ["RR", "routeReflectorClusterID"],
    lines: [
      "A BGP speaker that passes on to its clients what it heard from others, within one AS.",
      "Nodes then have a few sessions in place of a mesh; the next hop of a route stays the node it is of.",
      "In Calico: a node annotated with routeReflectorClusterID, and BGPPeers that select it.",
    ],
    see: ["full mesh", "BGPPeer"],
  },
  {
    term: "BGPPeer",
    lines: [
      "Says with whom nodes have BGP sessions beside the mesh: an address and AS, or nodes by a selector.",
      "`node` or `nodeSelector` says which nodes; without either all do.",
      "BGPFilters that it names decide about routes each way.",
    ],
    see: ["BGP", "BGPFilter", "route reflector"],
  },
  {
    term: "BGPFilter",
    lines: [
      "Rules for routes that go out to, or come in from, a peer: by range, source, community and more.",
      "The first rule that matches accepts or rejects; without one Calico's own rules decide.",
      "It does nothing until a BGPPeer names it.",
    ],
    see: ["BGPPeer", "BGP community"],
  },
  {
    term: "BGP community",
    aliases: ["community"],
    lines: [
      "A tag on a route, such as 65000:100, by which routers further on decide what to do with it.",
      "It changes nothing by itself.",
      "Calico sets them by prefixAdvertisements and by BGPFilters.",
    ],
    see: ["BGP", "BGPFilter"],
  },
  {
    term: "graceful restart",
    lines: [
      "A BGP speaker that went away is given time to come back while its routes are kept.",
      "So a restart of calico-node loses no packet; BIRD waits for 120 seconds.",
      "A node that has died keeps its routes for as long, too: packets to it are lost meanwhile.",
    ],
    see: ["BIRD", "BGP"],
  },

  // policies
  {
    term: "tier",
    lines: [
      "A group of policies with a place in the order: all of one tier are asked before those of the next.",
      "A packet that policies of a tier select for, and no rule of them decides, gets its defaultAction.",
      "kube-admin (1,000), default (1,000,000) and kube-baseline (10,000,000) are always there.",
    ],
    see: ["Pass", "policy order", "profile"],
  },
  {
    term: "policy order",
    aliases: ["order"],
    lines: [
      "A number of a Calico policy: the lowest of a tier is asked first; without one it comes last.",
      "Equal ones go by kind and name.",
      "The first rule that says Allow, Deny or Pass ends it; Log goes on.",
    ],
    see: ["tier", "Pass"],
  },
  {
    term: "Pass",
    lines: [
      "An action of a rule: this tier decides nothing, the next one is asked.",
      "Past the last tier, the endpoint's profiles decide.",
      "A tier whose defaultAction is Pass does so for all that its rules left open.",
    ],
    see: ["tier", "profile"],
  },
  {
    term: "profile",
    aliases: ["kns", "ksa"],
    pattern: /^(kns\.[a-z0-9.-]+|ksa\.[a-z0-9.-]+)$/i,
    lines: [
      "What decides for an endpoint that no policy of the direction selects, or where all passed.",
      "kns.NAMESPACE allows all; ksa.NAMESPACE.ACCOUNT only lends labels. Pods have both.",
      "A host endpoint has the ones that it names, and without one all else is dropped.",
    ],
    see: ["tier", "workload endpoint", "host endpoint"],
  },
  {
    term: "GlobalNetworkPolicy",
    aliases: ["GNP", "global network policy"],
    lines: [
      "A policy of Calico's that is in no namespace: its selector finds pods and host endpoints everywhere.",
      "Unlike Kubernetes' it has deny rules, an order and a tier.",
      "An empty selector selects all, the pods of kube-system among them: DNS may be the first to go.",
    ],
    see: ["tier", "Calico selector", "host endpoint"],
  },
  {
    term: "Calico selector",
    aliases: ["selector expression"],
    lines: [
      "Text such as app == 'web' && has(tier) && env not in {'dev'}, where Kubernetes has labels and lists.",
      "all() is everybody; != and `not in` also hold where the label is missing.",
      "Selectors that read the same once put in order share one IP set.",
    ],
    see: ["ipset", "GlobalNetworkPolicy"],
  },
  {
    term: "NetworkSet",
    aliases: ["GlobalNetworkSet", "network set"],
    lines: [
      "Ranges outside of the cluster with labels, so that rules' selectors find them as they find pods.",
      "One set can serve many policies, and a change of it touches IP sets, not rules.",
      "A GlobalNetworkSet is in no namespace; rules in a namespace reach it by namespaceSelector: global().",
    ],
    see: ["Calico selector", "ipset"],
  },
  {
    term: "host endpoint",
    aliases: ["HostEndpoint", "HEP"],
    lines: [
      "A node's device, or with * all of them, that policies can select: for traffic of the node itself.",
      "As soon as there is one, what no policy or profile allows is dropped, but for failsafe ports.",
      "What is forwarded to pods is policed only by policies with applyOnForward.",
    ],
    see: ["failsafe", "applyOnForward", "preDNAT", "profile"],
  },
  {
    term: "failsafe",
    aliases: ["failsafe ports"],
    lines: [
      "Ports of a host endpoint that no policy closes, lest a mistake lock everybody out.",
      "In: SSH, DHCP, BGP, etcd, Typha, the API server; out: DNS and DHCP in place of SSH.",
      "FelixConfiguration's failsafeInboundHostPorts and failsafeOutboundHostPorts change them.",
    ],
    see: ["host endpoint"],
  },
  {
    term: "applyOnForward",
    lines: [
      "A policy on host endpoints that counts for forwarded packets as well, not only for the node's own.",
      "Without any such policy, forwarded packets pass.",
      "preDNAT and doNotTrack policies must have it.",
    ],
    see: ["host endpoint", "preDNAT", "doNotTrack"],
  },
  {
    term: "preDNAT",
    lines: [
      "A policy on host endpoints that sees packets before kube-proxy has changed their destination.",
      "So it can close node ports: later rules see only the pod and its port.",
      "For what comes in alone; it sits in the mangle table's PREROUTING.",
    ],
    see: ["host endpoint", "NodePort", "DNAT"],
  },
  {
    term: "doNotTrack",
    aliases: ["untracked policy"],
    lines: [
      "A policy on host endpoints whose packets are not tracked as connections; it sits in the raw table.",
      "Cheap against floods, but answers are no longer let through by themselves: allow both ways.",
      "It knows no Services: without tracking there is no DNAT.",
    ],
    see: ["host endpoint", "conntrack"],
  },
  {
    term: "staged policy",
    aliases: ["StagedNetworkPolicy", "StagedGlobalNetworkPolicy", "StagedKubernetesNetworkPolicy"],
    lines: [
      "A policy on trial: it is counted what it would have done, and nothing is allowed or dropped by it.",
      "A tier with staged policies alone acts as if it were not there.",
      "stagedAction: Delete tries out what it would be like without the policy of that name.",
    ],
    see: ["tier", "policy"],
  },
  {
    term: "defaultEndpointToHostAction",
    aliases: ["endpoint to host action"],
    lines: [
      "What becomes of a pod's packet to its own node once the pod's egress policy has let it go.",
      "Felix by itself drops it; Calico's manifests set Accept.",
      "Return hands it on to the rules that the node has in INPUT besides.",
    ],
    see: ["Felix", "cali-wl-to-host"],
  },

  // what Felix programs
  {
    term: "cali-FORWARD",
    aliases: ["cali-INPUT", "cali-OUTPUT", "cali-PREROUTING", "cali-POSTROUTING"],
    pattern: /^((filter|nat|mangle|raw)-)?cali-(FORWARD|INPUT|OUTPUT|PREROUTING|POSTROUTING)$/i,
    lines: [
      "Felix's chains at the hooks of iptables, entered before anybody else's but for nat POSTROUTING.",
      "They set marks: a packet that a policy allows gets the accept mark and goes on to the next check.",
      "Between two pods of one node, FORWARD asks the sender's egress policy and then the other's ingress.",
    ],
    see: ["cali-fw", "accept mark", "hook"],
  },
  {
    term: "cali-fw",
    aliases: ["cali-tw", "cali-fh", "cali-th"],
    pattern: /^((filter|mangle|raw)-)?cali-(fw|tw|fh|th|fhfw|thfw|sm)-/i,
    lines: [
      "The chain of one endpoint: from (cali-fw) or to (cali-tw) a pod's device; -fh and -th are a node's.",
      "Tier by tier it jumps to policies; the first that sets the accept mark ends it.",
      "Past the last tier come profiles, and then a drop.",
    ],
    see: ["cali-pi", "tier", "cali-from-wl-dispatch"],
  },
  {
    term: "cali-pi",
    aliases: ["cali-po", "cali-gi", "cali-go"],
    pattern: /^((filter|mangle|raw)-)?cali-(pi|po|gi|go)-/i,
    lines: [
      "The chain of one policy, for what comes in (cali-pi) or goes out (cali-po): np/NAMESPACE/NAME and such.",
      "Names over 28 characters are cut and hashed. -gi and -go hold several policies in a row.",
      "Allow sets a mark and returns; Deny sets another and drops.",
    ],
    see: ["cali-fw", "accept mark"],
  },
  {
    term: "cali-pri",
    aliases: ["cali-pro"],
    pattern: /^((filter|mangle|raw)-)?cali-(pri|pro)-/i,
    lines: [
      "The chain of one profile, for what comes in (cali-pri) or goes out (cali-pro).",
      "That of kns.NAMESPACE has one rule, which accepts; those of ksa. are empty.",
      "It is met only where no policy has decided.",
    ],
    see: ["profile"],
  },
  {
    term: "cali-from-wl-dispatch",
    aliases: ["cali-to-wl-dispatch", "dispatch chain"],
    pattern: /^((filter|mangle|raw)-)?cali-(from|to)-(wl-dispatch|hep|host-endpoint)/i,
    lines: [
      "Sends a packet to the chain of the endpoint whose device it comes from or goes to.",
      "Many devices are split by the next letter of their names; nftables has a map in its place.",
      "A cali device that it does not know is dropped: Felix has not heard of that pod yet.",
    ],
    see: ["cali-fw", "cali"],
  },
  {
    term: "cali-wl-to-host",
    pattern: /^(filter-)?cali-wl-to-host$/i,
    lines: [
      "Felix's chain for what pods send to their own node.",
      "The pod's egress policy comes first, then defaultEndpointToHostAction.",
      "The other way round nothing is asked: a node always reaches its pods, and so probes pass.",
    ],
    see: ["defaultEndpointToHostAction"],
  },
  {
    term: "cali-nat-outgoing",
    pattern: /^(nat-)?cali-nat-outgoing$/i,
    lines: [
      "Felix's chain in nat POSTROUTING that masquerades what leaves all pools.",
      "It matches senders in cali40masq-ipam-pools and destinations outside cali40network-ip-pools.",
      "It stands after kube-proxy's chains.",
    ],
    see: ["natOutgoing", "masquerade"],
  },
  {
    term: "cali40",
    aliases: ["cali60"],
    pattern: /^cali[46]0\S+$/,
    lines: [
      "Felix's IP sets, cali40 for IPv4 and cali60 for IPv6, each with an id behind it.",
      "s: is a selector's and n: a named port's, hashed; others have plain names such as cali40this-host.",
      "A pod that comes or goes changes sets alone; the rules stay.",
    ],
    see: ["ipset", "Calico selector"],
  },
  {
    term: "accept mark",
    aliases: ["0x10000", "pass mark", "0x20000"],
    lines: [
      "Bits of the packet mark by which Felix's chains tell each other: 0x10000 allowed, 0x20000 passed.",
      "They are cleared at the start, so that nothing brings them along from outside.",
      "Only the last rule of FORWARD makes ACCEPT of it: until then others may still say no.",
    ],
    see: ["mark", "cali-FORWARD"],
  },
];
