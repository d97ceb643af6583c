import type { IpFamily } from "@cnilab/net";
import type { MatchExtension, TargetExtension } from "./extension.ts";
import { parameterProblem } from "./iptables-error.ts";
import { addrtype } from "./matches/addrtype.ts";
import { comment } from "./matches/comment.ts";
import { connlimit } from "./matches/connlimit.ts";
import { conntrack, helper, state } from "./matches/conntrack.ts";
import { hashlimit } from "./matches/hashlimit.ts";
import { dscp, hl, length, mac, pkttype, tcpmss, tos, ttl } from "./matches/header-fields.ts";
import { icmp, icmp6 } from "./matches/icmp-type.ts";
import { iprange } from "./matches/iprange.ts";
import { esp, policy } from "./matches/ipsec.ts";
import { ipvs } from "./matches/ipvs.ts";
import { limit } from "./matches/limit.ts";
import { connmark, mark } from "./matches/mark.ts";
import { nfacct } from "./matches/nfacct.ts";
import { physdev } from "./matches/physdev.ts";
import { multiport, sctp, tcp, udp } from "./matches/ports.ts";
import { recent } from "./matches/recent.ts";
import { rpfilter } from "./matches/rpfilter.ts";
import { set } from "./matches/set.ts";
import { owner, socket } from "./matches/socket.ts";
import { statistic } from "./matches/statistic.ts";
import { ct, notrack } from "./targets/ct.ts";
import * as fields from "./targets/header-fields.ts";
import { log, nflog, trace } from "./targets/log.ts";
import { connmark as connmarkTarget, mark as markTarget } from "./targets/mark.ts";
import {
  dnatTarget,
  masqueradeTarget,
  netmapTarget,
  redirectTarget,
  snatTarget,
} from "./targets/nat.ts";
import { nfqueue } from "./targets/nfqueue.ts";
import { reject } from "./targets/reject.ts";
import { set as setTarget } from "./targets/set.ts";
import { tproxy } from "./targets/tproxy.ts";
import { accept, drop, returnTarget } from "./targets/verdict.ts";

const MATCHES: readonly MatchExtension[] = [
  tcp,
  udp,
  sctp,
  icmp,
  icmp6,
  multiport,
  comment,
  mark,
  connmark,
  conntrack,
  state,
  addrtype,
  statistic,
  recent,
  set,
  physdev,
  limit,
  hashlimit,
  mac,
  rpfilter,
  length,
  ttl,
  hl,
  pkttype,
  socket,
  owner,
  iprange,
  tcpmss,
  dscp,
  tos,
  helper,
  ipvs,
  nfacct,
  connlimit,
  esp,
  policy,
];

const TARGETS: readonly TargetExtension[] = [
  accept,
  drop,
  returnTarget,
  reject,
  log,
  nflog,
  markTarget,
  connmarkTarget,
  dnatTarget,
  snatTarget,
  masqueradeTarget,
  redirectTarget,
  netmapTarget,
  ct,
  notrack,
  fields.tcpmss,
  fields.dscp,
  fields.tos,
  fields.ttl,
  fields.hl,
  fields.checksum,
  tproxy,
  setTarget,
  nfqueue,
  trace,
];

/** Extensions of iptables 1.8.9 whose rules are refused rather than taken for something else. */
const UNMODELLED_MATCHES: readonly string[] = [
  "ah",
  "bpf",
  "cgroup",
  "cluster",
  "connbytes",
  "connlabel",
  "cpu",
  "dccp",
  "devgroup",
  "dst",
  "ecn",
  "eui64",
  "frag",
  "hbh",
  "ipv6header",
  "mh",
  "osf",
  "quota",
  "rateest",
  "realm",
  "rt",
  "srh",
  "string",
  "time",
  "u32",
];
const UNMODELLED_TARGETS: readonly string[] = [
  "AUDIT",
  "CLASSIFY",
  "CLUSTERIP",
  "CONNSECMARK",
  "DNPT",
  "ECN",
  "HMARK",
  "IDLETIMER",
  "LED",
  "RATEEST",
  "SECMARK",
  "SNPT",
  "SYNPROXY",
  "TCPOPTSTRIP",
  "TEE",
  "ULOG",
];

function ofFamily(family: IpFamily, extension: { readonly family?: IpFamily }): boolean {
  return extension.family === undefined || extension.family === family;
}

/** The match that `-m NAME` loads. @throws Complaint */
export function findMatchExtension(family: IpFamily, name: string): MatchExtension {
  const found = MATCHES.find((match) => match.names.includes(name) && ofFamily(family, match));
  if (found !== undefined) return found;
  if (UNMODELLED_MATCHES.includes(name)) throw parameterProblem(`match "${name}" is not modelled`);
  throw parameterProblem(`Couldn't load match \`${name}':No such file or directory\n`);
}

/** The match that stands for options behind `-p`. */
export function matchOfProtocol(family: IpFamily, protocol: number): MatchExtension | undefined {
  switch (protocol) {
    case 1:
      return family === 4 ? icmp : undefined;
    case 6:
      return tcp;
    case 17:
      return udp;
    case 58:
      return family === 6 ? icmp6 : undefined;
    case 132:
      return sctp;
    default:
      return undefined;
  }
}

/** The target of this name; `undefined` when it must be a chain. @throws Complaint */
export function findTargetExtension(family: IpFamily, name: string): TargetExtension | undefined {
  if (UNMODELLED_TARGETS.includes(name)) throw parameterProblem(`target "${name}" is not modelled`);
  return TARGETS.find((target) => target.name === name && ofFamily(family, target));
}

/** Whether a target has this name, so that no chain may have it. */
export function isTargetName(family: IpFamily, name: string): boolean {
  if (UNMODELLED_TARGETS.includes(name)) return true;
  return TARGETS.some((target) => target.name === name && ofFamily(family, target));
}
