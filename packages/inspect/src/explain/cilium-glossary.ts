import type { GlossaryEntry } from "./glossary-entry.ts";

/** Cilium's own words. */
export const CILIUM_GLOSSARY: readonly GlossaryEntry[] = [
  // who does what
  {
    term: "Cilium",
    aliases: ["cilium-agent"],
    lines: [
      "A CNI whose eBPF programs stand on the devices of pods and nodes and decide about each packet.",
      "Its agent on every node compiles them and fills their maps; it may be away, and they go on.",
      "Policies are by identity: by what labels a pod has, not by which address.",
    ],
    see: ["security identity", "eBPF map", "cilium-operator"],
  },
  {
    term: "cilium-operator",
    lines: [
      "Does once a cluster what agents need: it gives nodes their ranges, and collects what nobody uses.",
      "Without it agents go on; but a new node waits for its range in CiliumNode.spec.ipam.podCIDRs.",
      "Identities that no pod has any more go after a heartbeat of 30 minutes.",
    ],
    see: ["CiliumNode", "cluster-pool", "CiliumIdentity"],
  },
  {
    term: "cilium-cni",
    lines: [
      "The plugin that the kubelet calls: it asks the agent for an address, makes a veth, and tells the agent.",
      "It waits until the endpoint's programs are there, so that no packet comes before its policy.",
      "While the agent is away pods cannot start; those that end are remembered until it is back.",
    ],
    see: ["Cilium", "Cilium endpoint", "lxc"],
  },

  // devices
  {
    term: "lxc",
    aliases: ["lxc device"],
    pattern: /^lxc[0-9a-f]{12}$/i,
    lines: [
      "The node's end of a pod's veth on Cilium: lxc and twelve hex digits of a hash of the container's id.",
      "What the pod sends meets cil_from_container there, before the node's own stack sees it.",
      "It has no address; the pod's default gateway is the router's address on cilium_host.",
    ],
    see: ["cil_from_container", "cilium_host", "veth"],
  },
  {
    term: "cilium_host",
    aliases: ["router IP", "CiliumInternalIP"],
    lines: [
      "Half of a veth pair that has the router's address, the first that the node takes of its own range.",
      "Routes to pods' ranges go by it, so that eBPF programs see what the node's stack sends to pods.",
      "It is NOARP: nobody is asked for a MAC.",
    ],
    see: ["cilium_net", "lxc", "cil_from_host"],
  },
  {
    term: "cilium_net",
    lines: [
      "The other half of cilium_host's pair.",
      "What programs hand to the node's stack, and what comes back from a proxy, passes by it.",
      "It has no address of its own.",
    ],
    see: ["cilium_host"],
  },
  {
    term: "cilium_vxlan",
    aliases: ["cilium_geneve"],
    lines: [
      "One tunnel device a node, without a peer: a program says for each packet to which node it goes.",
      "There are no FDB entries to look at; the ipcache has the nodes' addresses instead.",
      "The number in the header (VNI) is no network but the sender's identity.",
    ],
    see: ["ipcache", "security identity", "VNI"],
  },
  {
    term: "cilium_wg0",
    lines: [
      "Cilium's WireGuard device: with encryption.enabled, what goes to other nodes' pods leaves encrypted.",
      "Programs on eth0 send it there; its own packets bear the mark 0xe00 and pass.",
      "A node's public key stands in the annotation network.cilium.io/wg-pub-key of its CiliumNode.",
    ],
    see: ["WireGuard", "CiliumNode"],
  },
  {
    term: "lxc_health",
    aliases: ["health endpoint"],
    lines: [
      "A pod without a Pod: an endpoint of the agent's own, with an address out of the node's range.",
      "By it other nodes see whether packets get to this node's pods, not only to the node.",
      "Its identity is reserved:health, 4; it answers on TCP port 4240.",
    ],
    see: ["reserved identity", "Cilium endpoint"],
  },

  // who is who
  {
    term: "security identity",
    aliases: ["identity", "numeric identity", "identities"],
    lines: [
      "A number for a set of labels: all pods with equal labels of those that count have the same one.",
      "Policies are worked out for identities; a new pod with known labels changes no policy map elsewhere.",
      "It goes along with a packet: in the tunnel's header, in the mark, or by the ipcache.",
    ],
    see: ["CiliumIdentity", "reserved identity", "ipcache"],
  },
  {
    term: "reserved identity",
    aliases: ["reserved:host", "reserved:world", "reserved:remote-node"],
    pattern: /^reserved:[a-z0-9-]+$/i,
    lines: [
      "Numbers below 256 that are no pod's: 1 this node, 2 the world, 4 health, 6 other nodes, 7 API server.",
      "5 is init: an endpoint whose labels are not known yet.",
      "Policies name them as entities: fromEntities: [host, world].",
    ],
    see: ["security identity", "entity"],
  },
  {
    term: "CiliumIdentity",
    aliases: ["ciliumid"],
    lines: [
      "An identity as an object: its name is the number, 256 to 65535, and it holds the labels.",
      "The first agent that meets new labels makes it; two that do at once make one each, and both work.",
      "The operator deletes those that nobody uses.",
    ],
    see: ["security identity", "cilium-operator"],
  },
  {
    term: "ipcache",
    aliases: ["cilium_ipcache"],
    lines: [
      "A map of each node from address to identity, and to the node that a pod is behind.",
      "What is not in it is the world. One that is late or stale gets packets dropped, or let in.",
      "`cilium-dbg bpf ipcache list` prints it.",
    ],
    see: ["security identity", "LPM", "eBPF map"],
  },
  {
    term: "Cilium endpoint",
    aliases: ["CiliumEndpoint", "cep", "endpoint id"],
    lines: [
      "A pod as its node's agent has it: number (1 to 4095), device, addresses, identity, policy map.",
      "The node itself is one, too, and so is what the agent makes for health checks.",
      "As a CiliumEndpoint the other nodes hear of its address and identity.",
    ],
    see: ["security identity", "policy map", "lxc"],
  },
  {
    term: "CiliumNode",
    aliases: ["ciliumn"],
    lines: [
      "What a node's agent tells the others: its addresses, its range of pods, its WireGuard key.",
      "The operator writes the range into it with IPAM mode cluster-pool.",
      "It goes with its Node.",
    ],
    see: ["cluster-pool", "cilium_host"],
  },

  // addresses
  {
    term: "cluster-pool",
    aliases: ["ipam.mode"],
    lines: [
      "Cilium's usual IPAM: the operator cuts a range a node, a /24, and the agent hands out its addresses.",
      "`kubernetes` takes the Node's own podCIDR instead; `multi-pool` parts of several pools by demand.",
      "Of 254 addresses the router and the health endpoint take two.",
    ],
    see: ["CiliumPodIPPool", "CiliumNode", "IPAM"],
  },
  {
    term: "CiliumPodIPPool",
    aliases: ["cpip", "multi-pool"],
    lines: [
      "Ranges for pods with IPAM mode multi-pool: nodes ask for parts of it as they need addresses.",
      "A pod, or its namespace, names one by the annotation ipam.cilium.io/ip-pool; else it is `default`.",
      "The size of a part cannot be changed.",
    ],
    see: ["cluster-pool"],
  },

  // routing
  {
    term: "routingMode",
    aliases: ["native routing", "autoDirectNodeRoutes"],
    lines: [
      "tunnel wraps packets between nodes; native sends them as they are, and the network must know the way.",
      "With autoDirectNodeRoutes each node has a route to each other one's pods, where they share a link.",
      "Without it somebody else has to: a cloud's routers, or BGP.",
    ],
    see: ["cilium_vxlan", "endpoint routes", "masquerade"],
  },
  {
    term: "endpoint routes",
    aliases: ["endpointRoutes"],
    lines: [
      "A route of its own for each pod, to its lxc device, in place of one to cilium_host for all.",
      "Packets for a pod then pass the node's stack, and cil_to_container looks at its policy.",
      "Clouds need it that give pods addresses without a range a node.",
    ],
    see: ["lxc", "cilium_host", "routingMode"],
  },

  // programs and maps
  {
    term: "cil_from_container",
    aliases: ["cil_to_container", "cil_lxc_policy"],
    lines: [
      "Cilium's program for what a pod sends: conntrack, Services, egress policy, then the way on.",
      "For a pod on the same node it calls that pod's cil_lxc_policy: ingress policy at the sender's device.",
      "With endpoint routes cil_to_container does that on the way out of the receiver's.",
    ],
    see: ["lxc", "policy map", "tail call"],
  },
  {
    term: "cil_from_host",
    aliases: ["cil_to_host"],
    pattern: /^cil_(from|to)_(host|netdev|overlay|wireguard)$/,
    lines: [
      "Programs of the node itself: on cilium_host, on eth0 (netdev), on the tunnel (overlay), on WireGuard.",
      "They find out who sent a packet, look for NodePorts and the host firewall, and deliver to pods.",
      "cil_to_netdev masquerades and encrypts, where eBPF does that.",
    ],
    see: ["cilium_host", "cilium_vxlan", "BPF masquerade"],
  },
  {
    term: "eBPF map",
    aliases: ["BPF map"],
    lines: [
      "A table in the kernel that programs look things up in and agents write: identities, Services, policies.",
      "It has a size, and what does not fit is refused: a full policy map leaves allowed packets dropped.",
      "It is pinned, and stays while the agent restarts: connections do not notice.",
    ],
    see: ["eBPF", "ipcache", "policy map"],
  },
  {
    term: "policy map",
    aliases: ["policymap"],
    pattern: /^cilium_policy_v2_\d+$/,
    lines: [
      "What one endpoint may: entries of identity, direction, protocol and port, with allow, deny or a proxy.",
      "The entry of the identity and that of anybody are both looked for; deny wins, then the longer one.",
      "At most 16,384 entries, unless bpf.policyMapMax says otherwise.",
    ],
    see: ["security identity", "eBPF map"],
  },
  {
    term: "tail call",
    lines: [
      "A jump from one eBPF program to another that does not come back; 33 at most in a row.",
      "Cilium splits its programs so, and calls a receiver's policy through the map cilium_call_policy.",
      "Where the other program is not there the packet is dropped: Missed tail call.",
    ],
    see: ["eBPF", "cil_from_container"],
  },

  // Services
  {
    term: "kubeProxyReplacement",
    aliases: ["KPR"],
    lines: [
      "With it Cilium does all that kube-proxy did: NodePorts, external addresses and host ports as well.",
      "Without it programs of pods still translate ClusterIPs; the rest is left to kube-proxy.",
      "A look-up costs the same with ten Services and with ten thousand.",
    ],
    see: ["socket LB", "Maglev", "kube-proxy"],
  },
  {
    term: "socket LB",
    aliases: ["socketLB", "socket-level load balancing"],
    lines: [
      "A Service becomes one of its pods when a program calls connect(): no packet has the Service's address.",
      "getpeername() still tells the Service's, by a map of sockets.",
      "A Service without pods fails at once, without a packet.",
    ],
    see: ["kubeProxyReplacement", "eBPF map"],
  },
  {
    term: "Maglev",
    lines: [
      "A table of a Service's pods that all nodes work out alike: any of them sends a client to the same pod.",
      "When a pod goes, few of the other clients move.",
      "loadBalancer.algorithm=maglev; only for clients from outside. Pods choose at random.",
    ],
    see: ["kubeProxyReplacement", "DSR"],
  },
  {
    term: "BPF masquerade",
    aliases: ["bpf.masquerade"],
    lines: [
      "A program on eth0 hides pods behind their node where they leave the cluster, in place of iptables.",
      "What goes to nodes, or into the native routing CIDR, stays as it is.",
      "It needs NodePort by eBPF, as both share a table of ports.",
    ],
    see: ["masquerade", "kubeProxyReplacement", "CILIUM_POST_nat"],
  },
  {
    term: "CILIUM_POST_nat",
    aliases: ["cilium-feeder"],
    pattern: /^CILIUM_(PRE|POST|INPUT|OUTPUT|FORWARD)(_(nat|mangle|raw))?$/,
    lines: [
      "The agent's chains of iptables; a rule named cilium-feeder leads from each built-in chain to its own.",
      "POST_nat masquerades, PRE_mangle leads to proxies, OUTPUT marks what the node itself sends.",
      "With bpf.masquerade POST_nat is empty.",
    ],
    see: ["BPF masquerade", "masquerade", "mark"],
  },

  // policies
  {
    term: "CiliumNetworkPolicy",
    aliases: ["CiliumClusterwideNetworkPolicy", "ccnp"],
    lines: [
      "Policies with more than Kubernetes': deny rules, entities, DNS names, HTTP paths, Services, ICMP.",
      "The clusterwide one is in no namespace, and can be for nodes, too (host firewall).",
      "They add up with NetworkPolicies; what any of them denies is denied.",
    ],
    see: ["entity", "toFQDNs", "policy map"],
  },
  {
    term: "entity",
    aliases: ["entities", "fromEntities"],
    lines: [
      "A peer that is no pod of certain labels: host, remote-node, world, cluster, kube-apiserver, all and more.",
      "`cluster` is all of this cluster, nodes as well; `world` all that is outside of it.",
      "Ranges of addresses (fromCIDR) never mean pods or nodes: those are entities or labels.",
    ],
    see: ["reserved identity", "CiliumNetworkPolicy"],
  },
  {
    term: "toFQDNs",
    lines: [
      "Opens names, not addresses: the DNS proxy of the node learns from answers which addresses they are.",
      "So it needs a rule with `dns` that lets the proxy see the questions.",
      "An address stays open as long as the answer counts, or a connection uses it.",
    ],
    see: ["CiliumNetworkPolicy", "security identity"],
  },
  {
    term: "Hubble",
    aliases: ["hubble observe"],
    lines: [
      "Cilium's eyes: programs tell of packets and verdicts, and agents make flows with pods' names of them.",
      "`hubble observe`, here `cnilab observe`, prints who talked to whom, and why something was dropped.",
      "With bpf.monitorAggregation=medium repeated packets of a connection are left out.",
    ],
    see: ["Cilium", "policy map"],
  },
];
