import type { Prefix } from "@cnilab/net";
import type { PeerName } from "../mesh/peer-name.ts";

/** `--ipalloc-init`: how the first ring comes to be. */
export type IpallocInit =
  | { readonly kind: "consensus"; readonly peers: number }
  | { readonly kind: "seed"; readonly peers: readonly PeerName[] }
  | { readonly kind: "observer" };

/** Flags of weaver (prog/weaver/main.go), those that all nodes have alike. */
export interface WeaverConfig {
  readonly password?: string;
  readonly trustedSubnets: readonly Prefix[];
  /** `--no-fastdp` turns it off. */
  readonly fastdp: boolean;
  readonly ipallocRange: Prefix;
  /** By the number of nodes where it is absent. */
  readonly ipallocInit?: IpallocInit;
  /** `--mtu`. */
  readonly mtu?: number;
  readonly connectionLimit: number;
  readonly noMasqLocal: boolean;
  readonly expectNpc: boolean;
  readonly discovery: boolean;
}
