import type { GlossaryEntry } from "./glossary-entry.ts";

/** Weave Net's own words. */
export const WEAVE_GLOSSARY: readonly GlossaryEntry[] = [
  {
    term: "Weave Net",
    aliases: ["Weave", "weave-net", "weave-kube"],
    lines: [
      "A CNI that makes one switch of all nodes: every pod is on one Ethernet, with a /12 for its prefix.",
      "On each node a weaver joins a mesh of peers; it needs no store, and a list of peers is all its setup.",
      "Addresses come from a ring that peers share; weave-npc enforces NetworkPolicies. The project has ended.",
    ],
    see: ["weaver", "weave mesh", "IPAM ring", "weave-npc"],
  },
  {
    term: "weaver",
    aliases: ["weave router", "weave status"],
    lines: [
      "Weave's program on a node: peer of the mesh, owner of a part of all addresses, and maker of flows.",
      "It learns where MACs are from the frames that it sees; peers do not tell each other.",
      "`weave status connections|peers|ipam`, here `cnilab weave status …`, say what it knows.",
    ],
    see: ["weave mesh", "sleeve", "IPAM ring"],
  },
  {
    term: "weave mesh",
    aliases: ["mesh topology", "peer discovery"],
    lines: [
      "Peers with TCP connections on port 6783 that gossip who is connected to whom; any connected graph will do.",
      "A connection counts for data once its overlay's heartbeats get through, and both ends say so.",
      "Each peer computes the shortest ways; who is not a neighbour is reached over others, hop by hop.",
    ],
    see: ["weaver", "weave short id"],
  },
  {
    term: "weave short id",
    aliases: ["short id"],
    lines: [
      "12 bits for a peer, random; two of them, sender's and receiver's, are the VNI of its VXLAN packets.",
      "Where two peers drew the same one, that with the lower name keeps it and the other draws again.",
      "A packet with an unknown one is dropped; it is learnt by gossip.",
    ],
    see: ["weave mesh", "VXLAN"],
  },
  {
    term: "IPAM ring",
    aliases: ["weave IPAM", "token ring", "rmpeer"],
    lines: [
      "Tokens that say from which address on the range belongs to which peer; each changes only its own.",
      "The first split is agreed on by a majority; later peers own nothing and ask others for a part.",
      "What a dead peer owned is lost until `rmpeer`; where nothing is free anywhere a request waits for ever.",
    ],
    see: ["weaver", "Weave Net"],
  },
  {
    term: "weave-npc",
    aliases: ["WEAVE-NPC", "WEAVE-NPC-INGRESS", "WEAVE-NPC-DEFAULT", "0x40000"],
    pattern: /^WEAVE-NPC(-.*)?$/i,
    lines: [
      "Weave's policy controller: sets of pods' addresses, and chains WEAVE-NPC… that bridged packets pass, too.",
      "Pods that no policy selects are in a set of their namespace by which all may come (WEAVE-NPC-DEFAULT).",
      "It refuses policies with named ports, does not see endPort, and judges new connections alone.",
    ],
    see: ["Weave Net", "ipset"],
  },
  {
    term: "weaver-no-masq-local",
    lines: [
      "A set with the ranges that this node's peer owns: what comes from outside for them keeps its source.",
      "So a NodePort with externalTrafficPolicy Local shows pods who asked.",
      "It follows the ring: what is given away leaves the set.",
    ],
    see: ["IPAM ring", "ipset"],
  },
  {
    term: "weave peer",
    aliases: ["peer name", "weave nickname"],
    lines: [
      "A weaver in the mesh. Its name is 48 bits, a hash of the machine's id, written as a MAC; the bridge has it.",
      "Its nickname is the node's; its UID is another at each start, so that others see that it began anew.",
      "`cnilab weave status peers` lists all that a node has heard of, with their connections.",
    ],
    see: ["weave mesh", "weave short id"],
  },
  {
    term: "fastdp",
    aliases: ["fast datapath"],
    lines: [
      "Weave's better way between nodes: an Open vSwitch datapath whose flows weaver makes, and VXLAN on UDP 6784.",
      "The first frame between two MACs goes to weaver, later ones stay in the kernel.",
      "Packets are 1376 bytes at most; where heartbeats of that length fail, sleeve carries frames instead.",
    ],
    see: ["openvswitch", "sleeve", "weave short id"],
  },
  {
    term: "vethwe-bridge",
    aliases: ["vethwe-datapath", "vethwe-pcap", "vethwepl"],
    pattern: /^vethwepl[0-9a-z]{1,7}$/i,
    lines: [
      "vethwepl and seven digits of a container's id is a pod's port at the bridge weave.",
      "vethwe-bridge leads to other peers; behind it is the datapath (vethwe-datapath) or sleeve (vethwe-pcap).",
      "weave-npc knows by it what comes from other nodes, and what goes there.",
    ],
    see: ["weaver", "fastdp", "sleeve"],
  },
  {
    term: "weave donation",
    aliases: ["space request"],
    lines: [
      "A peer without a free address asks one that has some; that gives the upper half of its largest free part.",
      "Both say so by the ring, where the part then has another owner; nobody else is asked.",
      "Peers that came after the first split live from donations alone.",
    ],
    see: ["IPAM ring", "weave peer"],
  },
  {
    term: "weave:expose",
    aliases: ["weave expose", "WEAVE-EXPOSE"],
    lines: [
      "The owner's name under which a node's bridge has its address, with the whole range's prefix.",
      "Pods take it for their gateway; without it the node itself reaches no pod.",
      "The chain WEAVE of the nat table masquerades what goes between the range and all else.",
    ],
    see: ["IPAM ring", "weaver-no-masq-local"],
  },
];
