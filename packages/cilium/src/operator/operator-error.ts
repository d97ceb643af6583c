import type { CiliumNode } from "../api/v2/node.ts";

/** Says to a node what keeps the operator from giving it addresses; nothing for what it says already. */
export function withOperatorError(node: CiliumNode, error: string | undefined): CiliumNode {
  if (node.status?.ipam?.["operator-status"]?.error === error) return node;
  const status = error === undefined ? {} : { error };
  return {
    ...node,
    status: { ...node.status, ipam: { ...node.status?.ipam, "operator-status": status } },
  };
}
