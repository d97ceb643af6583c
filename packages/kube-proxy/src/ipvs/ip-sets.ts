import type { Ipsets } from "@cnilab/linux";
import type { IpFamily } from "@cnilab/net";

/** The sets that rules of IPVS mode ask, by their IPv4 names (pkg/proxy/ipvs/ipset.go). */
export type IpSetName =
  | "KUBE-LOOP-BACK"
  | "KUBE-CLUSTER-IP"
  | "KUBE-EXTERNAL-IP"
  | "KUBE-EXTERNAL-IP-LOCAL"
  | "KUBE-LOAD-BALANCER"
  | "KUBE-LOAD-BALANCER-FW"
  | "KUBE-LOAD-BALANCER-LOCAL"
  | "KUBE-LOAD-BALANCER-SOURCE-IP"
  | "KUBE-LOAD-BALANCER-SOURCE-CIDR"
  | "KUBE-NODE-PORT-TCP"
  | "KUBE-NODE-PORT-LOCAL-TCP"
  | "KUBE-NODE-PORT-UDP"
  | "KUBE-NODE-PORT-LOCAL-UDP"
  | "KUBE-NODE-PORT-SCTP-HASH"
  | "KUBE-NODE-PORT-LOCAL-SCTP-HASH"
  | "KUBE-HEALTH-CHECK-NODE-PORT"
  | "KUBE-IPVS-IPS";

interface SetKind {
  readonly type:
    | "hash:ip"
    | "hash:ip,port"
    | "hash:ip,port,ip"
    | "hash:ip,port,net"
    | "bitmap:port";
  /** Comment of the rules that ask it. */
  readonly comment: string;
}

const SETS: Readonly<Record<IpSetName, SetKind>> = {
  "KUBE-LOOP-BACK": {
    type: "hash:ip,port,ip",
    comment: "Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose",
  },
  "KUBE-CLUSTER-IP": {
    type: "hash:ip,port",
    comment: "Kubernetes service cluster ip + port for masquerade purpose",
  },
  "KUBE-EXTERNAL-IP": {
    type: "hash:ip,port",
    comment: "Kubernetes service external ip + port for masquerade and filter purpose",
  },
  "KUBE-EXTERNAL-IP-LOCAL": {
    type: "hash:ip,port",
    comment: "Kubernetes service external ip + port with externalTrafficPolicy=local",
  },
  "KUBE-LOAD-BALANCER": { type: "hash:ip,port", comment: "Kubernetes service lb portal" },
  "KUBE-LOAD-BALANCER-FW": {
    type: "hash:ip,port",
    comment: "Kubernetes service load balancer ip + port for load balancer with sourceRange",
  },
  "KUBE-LOAD-BALANCER-LOCAL": {
    type: "hash:ip,port",
    comment: "Kubernetes service load balancer ip + port with externalTrafficPolicy=local",
  },
  "KUBE-LOAD-BALANCER-SOURCE-IP": {
    type: "hash:ip,port,ip",
    comment: "Kubernetes service load balancer ip + port + source IP for packet filter purpose",
  },
  "KUBE-LOAD-BALANCER-SOURCE-CIDR": {
    type: "hash:ip,port,net",
    comment: "Kubernetes service load balancer ip + port + source cidr for packet filter purpose",
  },
  "KUBE-NODE-PORT-TCP": {
    type: "bitmap:port",
    comment: "Kubernetes nodeport TCP port for masquerade purpose",
  },
  "KUBE-NODE-PORT-LOCAL-TCP": {
    type: "bitmap:port",
    comment: "Kubernetes nodeport TCP port with externalTrafficPolicy=local",
  },
  "KUBE-NODE-PORT-UDP": {
    type: "bitmap:port",
    comment: "Kubernetes nodeport UDP port for masquerade purpose",
  },
  "KUBE-NODE-PORT-LOCAL-UDP": {
    type: "bitmap:port",
    comment: "Kubernetes nodeport UDP port with externalTrafficPolicy=local",
  },
  "KUBE-NODE-PORT-SCTP-HASH": {
    type: "hash:ip,port",
    comment: "Kubernetes nodeport SCTP port for masquerade purpose with type 'hash ip:port'",
  },
  "KUBE-NODE-PORT-LOCAL-SCTP-HASH": {
    type: "hash:ip,port",
    comment:
      "Kubernetes nodeport SCTP port with externalTrafficPolicy=local with type 'hash ip:port'",
  },
  "KUBE-HEALTH-CHECK-NODE-PORT": {
    type: "bitmap:port",
    comment: "Kubernetes health check node port",
  },
  "KUBE-IPVS-IPS": { type: "hash:ip", comment: "Addresses on the ipvs interface" },
};

const NAMES: readonly IpSetName[] = Object.keys(SETS) as IpSetName[];
/** What the kernel's names of sets may have at most (`IPSET_MAXNAMELEN` - 1). */
const MAX_NAME_LENGTH = 31;

/** The name in the kernel: IPv6 sets have a 6 in theirs, for which the end of long names is cut off. */
export function kernelSetName(name: IpSetName, family: IpFamily): string {
  if (family === 4) return name;
  return name.replace("KUBE-", "KUBE-6-").slice(0, MAX_NAME_LENGTH);
}

export function setComment(name: IpSetName): string {
  return SETS[name].comment;
}

/** The sets of one family on one node, and how many service ports want each entry. */
export class IpSets {
  readonly #family: IpFamily;
  readonly #ipsets: Ipsets;
  readonly #wanted = new Map<IpSetName, Map<string, number>>(NAMES.map((n) => [n, new Map()]));
  readonly #changed = new Map<IpSetName, Set<string>>(NAMES.map((n) => [n, new Set()]));

  constructor(family: IpFamily, ipsets: Ipsets) {
    this.#family = family;
    this.#ipsets = ipsets;
  }

  /** Makes those sets that are not there (`ensureIPSet`). */
  ensure(): void {
    for (const name of NAMES) {
      const kernelName = kernelSetName(name, this.#family);
      if (this.#ipsets.find(kernelName) !== undefined) continue;
      this.#ipsets.run(`create ${kernelName} ${SETS[name].type} ${this.#options(name)}`);
    }
  }

  isEmpty(name: IpSetName): boolean {
    return this.#wanted.get(name)?.size === 0;
  }

  /** One service port more (or, with -1, less) wants this entry. */
  count(name: IpSetName, entry: string, change: 1 | -1): void {
    const wanted = this.#wanted.get(name) as Map<string, number>;
    const count = (wanted.get(entry) ?? 0) + change;
    if (count > 0) wanted.set(entry, count);
    else wanted.delete(entry);
    this.#changed.get(name)?.add(entry);
  }

  /** Brings what has changed to the kernel (`syncIPSetEntries`). */
  sync(): void {
    for (const name of NAMES) {
      const changed = this.#changed.get(name) as Set<string>;
      const kernelName = kernelSetName(name, this.#family);
      const lines: string[] = [];
      for (const entry of changed) {
        const isWanted = this.#wanted.get(name)?.has(entry);
        lines.push(`${isWanted ? "add" : "del"} ${kernelName} ${entry}\n`);
      }
      changed.clear();
      if (lines.length > 0) this.#ipsets.restore(lines.join(""), { exist: true });
    }
  }

  #options(name: IpSetName): string {
    if (SETS[name].type === "bitmap:port") return "range 0-65535";
    const family = this.#family === 4 ? "inet" : "inet6";
    return `family ${family} hashsize 1024 maxelem 65536`;
  }
}
