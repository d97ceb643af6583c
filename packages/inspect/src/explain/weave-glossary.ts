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
];
