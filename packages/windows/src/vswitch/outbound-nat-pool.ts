import type { VfpFlow } from "../vfp/flow-table.ts";
import { type FlowTuple, hashTuple } from "../vfp/flow-tuple.ts";
import type { VfpPort } from "../vfp/vfp-port.ts";

/** Ports that the host's own programs leave to translated flows: the upper half of Windows' dynamic range. */
export const NAT_PORTS = { first: 57_344, last: 65_535 } as const;

interface Lease {
  /** Where the flow was translated. */
  readonly owner: VfpPort;
  /** Set when the flow is made. */
  flow: VfpFlow | undefined;
}

/** Who has which port of the node's address for a translated flow (`SLB_NATPOOL_…`). */
export class OutboundNatPool {
  readonly #leases = new Map<number, Lease>();

  /** A free port, the same one first for the same flow; `undefined` when all are taken. */
  take(tuple: FlowTuple, owner: VfpPort, now: number): number | undefined {
    const count = NAT_PORTS.last - NAT_PORTS.first + 1;
    const start = hashTuple(tuple) % count;
    for (let i = 0; i < count; i++) {
      const port = NAT_PORTS.first + ((start + i) % count);
      const there = this.#leases.get(keyOf(tuple.protocol, port));
      if (there?.flow?.isLive(now)) continue;
      this.#leases.set(keyOf(tuple.protocol, port), { owner, flow: undefined });
      return port;
    }
    return undefined;
  }

  /** The flow that a port was taken for: it keeps the port as long as it lives. */
  bind(flow: VfpFlow): void {
    const { translated } = flow;
    const lease = this.#leases.get(keyOf(translated.protocol, translated.srcPort));
    if (lease !== undefined && lease.flow === undefined) lease.flow = flow;
  }

  /** The port of the switch that knows the flow whose answers come to a port of the node's address. */
  ownerOf(protocol: number, port: number, now: number): VfpPort | undefined {
    const lease = this.#leases.get(keyOf(protocol, port));
    return lease?.flow?.isLive(now) ? lease.owner : undefined;
  }

  clear(): void {
    this.#leases.clear();
  }
}

function keyOf(protocol: number, port: number): number {
  return protocol * 0x10000 + port;
}
