import { familyOf, IPPROTO_UDP } from "@cnilab/net";
import type { NodeMaps } from "../../datapath/node-maps.ts";
import { BACKEND_STATE_FLAGS } from "../../services/backend.ts";
import type { NodeLb } from "./node-lb.ts";

/**
 * Ends connections of UDP sockets to backends that are gone or serve no more: nothing else would tell their programs
 * (pkg/loadbalancer/reconciler/termination.go). Only those that the socket load balancer has sent there.
 * @param everywhere sockets of pods, too, and not only of the node itself
 */
export function terminateStaleSockets(maps: NodeMaps, lb: NodeLb, everywhere: boolean): void {
  const { kernel } = maps;
  if (maps.lb4.reverseSk.size + maps.lb6.reverseSk.size === 0) return;
  let alive: ReadonlySet<string> | undefined;
  for (const netns of [kernel.initNs, ...(everywhere ? kernel.namespaces : [])]) {
    for (const socket of [...netns.sockets.udp.all()]) {
      const { remoteAddress, remotePort } = socket;
      if (remoteAddress === undefined || !socket.isEndpoint) continue;
      const key = { cookie: socket.cookie, address: remoteAddress, port: remotePort };
      if (maps.lb(familyOf(remoteAddress)).reverseSk.get(key) === undefined) continue;
      alive ??= aliveBackends(lb);
      if (!alive.has(`${remotePort} ${String(remoteAddress)}`)) socket.abort();
    }
  }
}

function aliveBackends(lb: NodeLb): ReadonlySet<string> {
  const alive = new Set<string>();
  for (const family of [4, 6] as const) {
    for (const [, { address, port, proto, state }] of lb.backends(family)) {
      const serves =
        state === BACKEND_STATE_FLAGS.active || state === BACKEND_STATE_FLAGS.terminating;
      if (proto === IPPROTO_UDP && serves) alive.add(`${port} ${String(address)}`);
    }
  }
  return alive;
}
