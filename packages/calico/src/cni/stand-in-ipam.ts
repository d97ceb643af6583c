import type { ApiClient, IpamEngine, IpamRequest, IpamResult } from "@cnilab/core";
import { addToIp, type IpAddress, Prefix, parsePrefix } from "@cnilab/net";
import type { IPAMBlock } from "../api/v3/ipam.ts";
import type { TunnelAddressRequest, TunnelIpam } from "../routing/tunnel-addresses.ts";

/** Until the package's own IPAM is there: one block a node, in the order of nodes, addresses one after the other. */
export class StandInIpam implements IpamEngine, TunnelIpam {
  readonly #api: ApiClient;
  readonly #node: string;

  constructor(api: ApiClient, node: string) {
    this.#api = api;
    this.#node = node;
  }

  allocate({ containerId }: IpamRequest): IpamResult {
    const pools = this.#api.list("IPPool.projectcalico.org").map((p) => parsePrefix(p.spec.cidr));
    const ips = pools.map((pool) => {
      const address = this.#take(pool, containerId, {});
      return { address: { address, length: Prefix.host(address).length } };
    });
    return { ips, routes: [] };
  }

  assign({ handle, attributes, pools }: TunnelAddressRequest): IpAddress {
    return this.#take(pools[0] as Prefix, handle, attributes);
  }

  #take(pool: Prefix, handle: string, attributes: Readonly<Record<string, string>>): IpAddress {
    const block = this.#block(pool);
    const cidr = parsePrefix(block.spec.cidr);
    const ordinal = block.spec.unallocated[0];
    if (ordinal === undefined) throw new Error("No IPs available in pools");
    this.#api.update("IPAMBlock.projectcalico.org", block.metadata.name, (b) => ({
      ...b,
      spec: {
        ...b.spec,
        allocations: b.spec.allocations.with(ordinal, b.spec.attributes.length),
        unallocated: b.spec.unallocated.slice(1),
        attributes: [
          ...b.spec.attributes,
          { handle_id: handle, secondary: { node: this.#node, ...attributes } },
        ],
      },
    }));
    return addToIp(cidr.address, ordinal);
  }

  #block(pool: Prefix): IPAMBlock {
    const length = pool.family === 4 ? 26 : 122;
    for (let i = 0; ; i++) {
      const cidr = pool.subnet(i, length);
      const name = String(cidr).replace(/[.:/]/g, "-");
      const block = this.#api.get("IPAMBlock.projectcalico.org", name);
      if (block?.spec.affinity === `host:${this.#node}`) return block;
      if (block !== undefined) continue;
      return this.#api.create<"IPAMBlock.projectcalico.org">({
        apiVersion: "projectcalico.org/v3",
        kind: "IPAMBlock",
        metadata: { name },
        spec: {
          cidr: String(cidr),
          affinity: `host:${this.#node}`,
          allocations: Array.from({ length: 64 }, () => null),
          unallocated: Array.from({ length: 64 }, (_, o) => o),
          attributes: [],
        },
      });
    }
  }

  release(containerId: string): void {
    this.releaseByHandle(containerId);
  }

  releaseByHandle(handle: string): void {
    for (const { metadata } of this.#api.list("IPAMBlock.projectcalico.org")) {
      this.#api.update("IPAMBlock.projectcalico.org", metadata.name, (b) => {
        const freed = b.spec.allocations.flatMap((at, ordinal) =>
          at !== null && b.spec.attributes[at]?.handle_id === handle ? [ordinal] : [],
        );
        if (freed.length === 0) return b;
        const allocations = b.spec.allocations.map((a, o) => (freed.includes(o) ? null : a));
        const unallocated = [...b.spec.unallocated, ...freed];
        return { ...b, spec: { ...b.spec, allocations, unallocated } };
      });
    }
  }

  check(): void {}

  ownerOf(address: IpAddress): ReturnType<TunnelIpam["ownerOf"]> {
    for (const { spec } of this.#api.list("IPAMBlock.projectcalico.org")) {
      const cidr = parsePrefix(spec.cidr);
      for (const [ordinal, at] of spec.allocations.entries()) {
        if (at === null || addToIp(cidr.address, ordinal) !== address) continue;
        const attribute = spec.attributes[at];
        return { attributes: attribute?.secondary ?? {} };
      }
    }
    return undefined;
  }
}
