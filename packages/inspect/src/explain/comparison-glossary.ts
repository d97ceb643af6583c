import type { GlossaryEntry } from "./glossary-entry.ts";

/** Words of `cnilab compare`. */
export const COMPARISON_GLOSSARY: readonly GlossaryEntry[] = [
  {
    term: "path length",
    aliases: ["path", "hop", "hops", "steps", "routers"],
    lines: [
      "How far a packet goes: devices that it crosses, routers that count its TTL down, steps of its walk.",
      "A bridge switches frames and is no router; a tunnel hides the routers between its ends.",
      "`cnilab trace` lists the steps, `cnilab compare` counts them on several CNIs, without neighbours' ARP.",
    ],
    see: ["TTL", "bridge", "tunnel"],
  },
  {
    term: "rules evaluated",
    aliases: ["look-up", "look-ups", "map look-up"],
    lines: [
      "Rules that the kernel looked at for one packet, matching or not: chains are read from the top.",
      "A connection's first packet also asks tables nat; for later ones conntrack has the answer.",
      "eBPF programs ask maps by key instead: the number of look-ups hardly grows with that of Services.",
    ],
    see: ["chain", "NAT", "conntrack", "eBPF map"],
  },
  {
    term: "source seen",
    aliases: ["client address", "source address"],
    lines: [
      "The address that a server takes its client for; NAT on the way may have changed it.",
      "Between pods it is the pod's own. At a NodePort with policy Cluster it is the node's that was asked.",
      "Policies by address and logs are only as good as it is.",
    ],
    see: ["SNAT", "NodePort", "externalTrafficPolicy"],
  },
];
