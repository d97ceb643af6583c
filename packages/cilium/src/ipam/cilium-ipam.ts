import {
  CNI_ERROR,
  CniError,
  type IpamEngine,
  type IpamRequest,
  type IpamResult,
} from "@cnilab/core";
import { familyOf, type IpAddress, type IpFamily, Prefix } from "@cnilab/net";
import type { AddressSource, GivenAddress } from "./address-source.ts";
import { DEFAULT_POOL } from "./address-source.ts";

/** What a node takes for itself before its pods get anything. */
export interface NodeAllocation {
  readonly ranges: readonly Prefix[];
  /** CiliumInternalIP, of cilium_host. */
  readonly router: readonly IpAddress[];
  /** Of the health endpoint; none without. */
  readonly health: readonly IpAddress[];
}

export interface FormerAddresses {
  readonly router: readonly IpAddress[];
  readonly health: readonly IpAddress[];
}

export interface CiliumIpamOptions {
  readonly families: readonly IpFamily[];
  readonly source: () => AddressSource;
  readonly healthAddresses: boolean;
  /** Addresses of the node itself, which are never given to others. */
  readonly nodeAddresses: readonly IpAddress[];
  /** What a former run of the agent had for itself, as the CiliumNode tells; it has that again where it can. */
  readonly former: () => FormerAddresses;
  /** Of a pod: what its annotations, or its namespace's, say (pkg/ipam/metadata). @throws CniError */
  readonly poolOf: (request: IpamRequest, family: IpFamily) => string;
}

/** The agent's IPAM on one node (pkg/ipam): what it has given, and to whom. It outlives runs of the agent, as restored endpoints say again what they have. */
export class CiliumIpam implements IpamEngine {
  readonly #options: CiliumIpamOptions;
  readonly #held = new Map<string, readonly IpAddress[]>();
  #lazySource: AddressSource | undefined;
  #allocation: NodeAllocation | undefined;

  constructor(options: CiliumIpamOptions) {
    this.#options = options;
  }

  get #source(): AddressSource {
    this.#lazySource ??= this.#options.source();
    return this.#lazySource;
  }

  get problem(): string | undefined {
    return this.#source.problem;
  }

  /** Addresses of pods, by container and interface. */
  get used(): number {
    let used = 0;
    for (const addresses of this.#held.values()) used += addresses.length;
    return used;
  }

  /** @param ready told once, when the node has ranges, and what it took for itself */
  start(ready: (allocation: NodeAllocation) => void): void {
    let told = false;
    this.#source.start(() => {
      if (told || !this.#source.isReady) return;
      told = true;
      this.#allocation ??= this.#allocateForNode();
      ready(this.#allocation);
    });
  }

  stop(): void {
    this.#source.stop();
  }

  /** The router first, then health, IPv6 before IPv4 as the agent asks (daemon/cmd/ipam.go allocateIPs). */
  #allocateForNode(): NodeAllocation {
    const { families, nodeAddresses, healthAddresses } = this.#options;
    for (const address of nodeAddresses) this.#source.allocate(address, DEFAULT_POOL, "node-ip");
    const former = this.#options.former();
    const router = this.#each(families, "router", former.router);
    const health = healthAddresses ? this.#each(families, "health", former.health) : [];
    return { ranges: this.#source.ranges, router, health };
  }

  /** Those of a former run, or any (daemon/cmd/ipam.go reallocateDatapathIPs). */
  #each(families: readonly IpFamily[], owner: string, former: readonly IpAddress[]): IpAddress[] {
    return families
      .map((family) => {
        const own = former.find((a) => familyOf(a) === family);
        const again = own && this.#source.allocate(own, DEFAULT_POOL, owner);
        return typeof again === "object"
          ? again
          : this.#source.allocateNext(family, DEFAULT_POOL, owner);
      })
      .filter((given): given is GivenAddress => typeof given !== "string")
      .map(({ address }) => address);
  }

  allocate(request: IpamRequest): IpamResult {
    const { families } = this.#options;
    const certain = request.requested ?? [];
    const owner = request.pod === undefined ? "" : `${request.pod.namespace}/${request.pod.name}`;
    const given: IpAddress[] = [];
    const key = `${request.containerId}:${request.ifName}`;
    try {
      for (const family of [...families].sort().reverse()) {
        const wanted = certain.find((a) => familyOf(a) === family);
        const pool = this.#options.poolOf(request, family);
        if (wanted === undefined) given.push(this.#next(family, pool, owner));
        else given.push(this.#certain(wanted, pool, owner));
      }
    } catch (error) {
      for (const address of given) this.#source.release(address);
      throw error;
    }
    const ordered = families.flatMap((f) => given.filter((a) => familyOf(a) === f));
    this.#held.set(key, ordered);
    return {
      ips: ordered.map((address) => ({
        address: { address, length: Prefix.host(address).length },
        ...gatewayOf(this.#allocation, address),
      })),
      routes: [],
    };
  }

  #next(family: IpFamily, pool: string, owner: string): IpAddress {
    const given = this.#source.allocateNext(family, pool, owner);
    if (typeof given !== "string") return given.address;
    // plugins/cilium-cni/cmd/cmd.go allocateIPsWithCiliumAgent, and what the agent's API answers.
    throw new CniError(
      CNI_ERROR.generic,
      `unable to allocate IP via local cilium agent: [POST /ipam][502] postIpamFailure "${given}"`,
    );
  }

  /** One from outside of the node's ranges is given as it is: the cluster routes it here. */
  #certain(address: IpAddress, pool: string, owner: string): IpAddress {
    if (!this.holds(address)) return address;
    const given = this.#source.allocate(address, pool, owner);
    if (typeof given !== "string") return address;
    throw new CniError(
      CNI_ERROR.generic,
      `unable to allocate IP via local cilium agent: [POST /ipam/{ip}][500] postIpamIpFailure "${given}"`,
    );
  }

  release(containerId: string, ifName: string): void {
    const key = `${containerId}:${ifName}`;
    for (const address of this.#held.get(key) ?? []) this.#source.release(address);
    this.#held.delete(key);
  }

  check(containerId: string, ifName: string): void {
    if (this.#held.has(`${containerId}:${ifName}`)) return;
    throw new CniError(CNI_ERROR.generic, `no address is allocated to ${containerId}:${ifName}`);
  }

  holds(address: IpAddress): boolean {
    return this.#source.ranges.some((range) => range.contains(address));
  }

  ranges(): readonly Prefix[] {
    return this.#source.ranges;
  }
}

function gatewayOf(
  allocation: NodeAllocation | undefined,
  address: IpAddress,
): { readonly gateway?: IpAddress } {
  const gateway = allocation?.router.find((r) => familyOf(r) === familyOf(address));
  return gateway === undefined ? {} : { gateway };
}
