import { BpfHash, type BpfMapText, type Kernel } from "@cnilab/linux";

/** `struct auth_key`. */
export interface AuthKey {
  readonly localSecLabel: number;
  readonly remoteSecLabel: number;
  /** 0 for this node. */
  readonly remoteNodeId: number;
  readonly authType: number;
}

/** `struct auth_info`. */
export interface AuthInfo {
  /** Virtual milliseconds. */
  readonly expiration: number;
}

export type AuthMap = BpfHash<AuthKey, AuthInfo>;

const TEXT: BpfMapText<AuthKey, AuthInfo> = {
  key: (key) =>
    `localIdentity=${key.localSecLabel}, remoteIdentity=${key.remoteSecLabel}, ` +
    `remoteNodeID=${key.remoteNodeId}, authType=${key.authType}`,
  value: ({ expiration }) => `expiration=${expiration}`,
};

/** `cilium_auth_map`: who has shown whom who he is, and until when (bpf/lib/auth.h). */
export function authMap(kernel: Kernel, maxEntries: number): AuthMap {
  return new BpfHash<AuthKey, AuthInfo>(kernel, {
    name: "cilium_auth_map",
    maxEntries,
    pack: (key) => `${key.localSecLabel} ${key.remoteSecLabel} ${key.remoteNodeId} ${key.authType}`,
    text: TEXT,
  });
}
