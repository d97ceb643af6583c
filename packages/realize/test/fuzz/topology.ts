import type { FibRule, MacvlanMode, RouteType } from "@cnilab/linux";
import type { FrameStep } from "./frames.ts";
import type { ServiceStep } from "./services.ts";
import type { TunnelStep } from "./tunnels.ts";

/** One thing that is done to an empty machine. Written as data, so that a case can be cut down and kept. */
export type Step =
  | { readonly do: "namespace"; readonly netns: string }
  /** A cable: devices `e<subnet>`, addresses .1 in `a` and .2 in `b`. */
  | {
      readonly do: "cable";
      readonly a: string;
      readonly b: string;
      readonly subnet: number;
      readonly mtu: number;
    }
  /** A bridge `br<subnet>` with address .1, and a cable to each member, whose address is .2, .3… on `e<subnet>`. */
  | {
      readonly do: "lan";
      readonly netns: string;
      readonly members: readonly string[];
      readonly subnet: number;
      readonly mtu: number;
    }
  /** A vxlan device `vx<subnet>` over an address that each end has on another subnet. */
  | {
      readonly do: "vxlan";
      readonly ends: readonly [string, string];
      readonly local: readonly [string, string];
      readonly subnet: number;
    }
  /** A namespace with a macvlan `e<subnet>` on a device of another namespace. */
  | {
      readonly do: "macvlan";
      readonly owner: string;
      readonly lower: string;
      readonly netns: string;
      readonly subnet: number;
      readonly host: number;
      readonly mode: MacvlanMode;
    }
  /** A router answers neighbours that ask for an address behind it. */
  | {
      readonly do: "proxy";
      readonly netns: string;
      readonly dev: string;
      readonly address: string;
    }
  | { readonly do: "mtu"; readonly netns: string; readonly dev: string; readonly mtu: number }
  | {
      readonly do: "address";
      readonly netns: string;
      readonly dev: string;
      readonly address: string;
    }
  | {
      readonly do: "route";
      readonly netns: string;
      readonly dst: string;
      readonly type?: RouteType;
      readonly via?: string;
      readonly dev?: string;
      readonly table?: number;
      readonly metric?: number;
      readonly src?: string;
      readonly mtu?: number;
      /** Several ways, in place of `via`. */
      readonly nexthops?: readonly { readonly via: string; readonly weight: number }[];
    }
  | {
      readonly do: "rule";
      readonly netns: string;
      readonly family: 4 | 6;
      readonly from?: string;
      readonly to?: string;
      readonly rule: Omit<FibRule, "from" | "to">;
    }
  | {
      readonly do: "sysctl";
      readonly netns: string;
      readonly path: string;
      readonly value: number;
    }
  | {
      readonly do: "hairpin" | "isolated";
      readonly netns: string;
      /** Number of the port, from the first that was added. */
      readonly port: number;
      readonly bridge: string;
    }
  /** A rule behind the others of its chain, which is made where it is none of the table's own. */
  | {
      readonly do: "iptables";
      readonly netns: string;
      readonly family: 4 | 6;
      readonly table: string;
      readonly chain: string;
      readonly rule: string;
    }
  /** Lines for `ipset restore` and `nft -f`. */
  | { readonly do: "ipset" | "nftables"; readonly netns: string; readonly text: string }
  | TunnelStep
  /** A command line of `ipvsadm`. */
  | { readonly do: "ipvs"; readonly netns: string; readonly line: string }
  | FrameStep
  | ServiceStep
  | { readonly do: "flow"; readonly flow: Flow };

export interface Flow {
  readonly netns: string;
  /** SCTP needs a kernel that has it: not this machine's. */
  readonly protocol: "tcp" | "udp" | "icmp" | "sctp";
  readonly dst: string;
  /** Not for ICMP. */
  readonly dstPort: number;
  readonly src?: string;
  /** The sender need not have the source (`IP_TRANSPARENT`). UDP only. */
  readonly spoofed?: boolean;
  readonly ttl?: number;
  /** Bytes of a UDP or ICMP request. */
  readonly length: number;
}

/** What became of a flow, in words that both sides have. */
export interface Verdict {
  readonly outcome: "connected" | "refused" | "unreachable" | "stalled" | "timeout";
  readonly errno?: string | undefined;
  /** Who sent the ICMP error or the echo reply. */
  readonly from?: string | undefined;
  /** Namespace that the server runs in, source that it saw. */
  readonly seen?: string | undefined;
  readonly ttl?: number | undefined;
}

export const addressIn = (family: 4 | 6, subnet: number, host: number): string =>
  family === 4 ? `10.0.${subnet}.${host}` : `fd00:0:0:${subnet.toString(16)}::${host.toString(16)}`;

export const prefixOf = (family: 4 | 6, subnet: number): string =>
  family === 4 ? `10.0.${subnet}.0/24` : `fd00:0:0:${subnet.toString(16)}::/64`;

export const lengthOf = (family: 4 | 6): number => (family === 4 ? 24 : 64);
