import type { FlowMatch, OvsAction } from "@cnilab/linux";
import { formatIp, formatMac } from "@cnilab/net";

// Flows as go-odp writes them (odp/flow.go String).

export function keyTexts(match: FlowMatch): string[] {
  const { tun_id, tun_src, tun_dst, in_port, eth_src, eth_dst } = match;
  const texts: string[] = [];
  if (tun_id !== undefined) {
    const ends = `ipv4src: ${formatIp(tun_src as number)}, ipv4dst: ${formatIp(tun_dst as number)}`;
    texts.push(`TunnelFlowKey{id: ${hex16(tun_id as number)}, ${ends}}`);
  }
  if (in_port !== undefined) texts.push(`InPortFlowKey{vport: ${in_port}}`);
  if (eth_src !== undefined) {
    const ends = `src: ${formatMac(eth_src as number)}, dst: ${formatMac(eth_dst as number)}`;
    texts.push(`EthernetFlowKey{${ends}}`);
  }
  return texts;
}

export function actionTexts(actions: readonly OvsAction[]): string[] {
  return actions.map((action) => {
    if (action.type === "output") return `OutputAction{vport: ${action.port}}`;
    if (action.type === "userspace") return "UserspaceAction{}";
    const { tunnelId, local, remote, ttl } = action.tunnel;
    const ends = `ipv4src: ${local === undefined ? "" : formatIp(local)}, ipv4dst: ${formatIp(remote)}`;
    // The kernel gives back no TOS of 0, and no flag that is not set.
    return `SetTunnelAction{id: ${hex16(tunnelId)}, ${ends}, ttl: ${ttl}, df: true}`;
  });
}

function hex16(value: number): string {
  return value.toString(16).padStart(16, "0");
}
