import {
  CNI_ERROR,
  CniError,
  type IpamEngine,
  type IpamRequest,
  type IpamResult,
  type Labels,
  type NodeContext,
  timestamp,
} from "@cnilab/core";
import {
  familyOf,
  type InterfaceAddress,
  type IpAddress,
  type IpFamily,
  Prefix,
  parsePrefix,
} from "@cnilab/net";
import type { TunnelAddressRequest, TunnelIpam } from "../routing/tunnel-addresses.ts";
import { type AddressOwner, type HostReserved, WINDOWS_RESERVED } from "./allocation-block.ts";
import { fulfilmentProblem } from "./auto-assign.ts";
import { IpamClient } from "./ipam-client.ts";
import {
  AddressInCooldown,
  IpamError,
  ResourceAlreadyExists,
  ResourceDoesNotExist,
} from "./ipam-error.ts";
import { podRequest } from "./pod-request.ts";
import { poolOfAddress } from "./pool.ts";

export interface CalicoIpamOptions {
  readonly node: NodeContext;
  /** Name of the CNI network; handles begin with it. */
  readonly network?: string;
  /** Addresses that the host needs for itself in each of its blocks; on Windows what Windows needs. */
  readonly reserved?: HostReserved;
}

/** Of the installation manifest's network configuration. */
const NETWORK = "k8s-pod-network";

/** The plugin calico-ipam as an engine of a node (cni-plugin/pkg/ipamplugin/ipam_plugin.go). */
export class CalicoIpam implements IpamEngine, TunnelIpam {
  readonly #node: NodeContext;
  readonly #client: IpamClient;
  readonly #network: string;
  readonly #reserved: HostReserved | undefined;

  constructor({ node, network = NETWORK, reserved }: CalicoIpamOptions) {
    this.#node = node;
    this.#client = IpamClient.of(node.api, node.clock);
    this.#network = network;
    this.#reserved = reserved ?? (node.machine.os === "windows" ? WINDOWS_RESERVED : undefined);
  }

  allocate(request: IpamRequest): IpamResult {
    const handle = this.#handleOf(request.containerId);
    try {
      const addresses = this.#allocate(request, handle);
      return { ips: addresses.map((address) => ({ address })), routes: [] };
    } catch (error) {
      if (!(error instanceof IpamError)) throw error;
      this.releaseByHandle(handle);
      throw new CniError(CNI_ERROR.generic, error.message);
    }
  }

  #allocate(request: IpamRequest, handle: string): InterfaceAddress[] {
    const { config, api } = this.#node;
    const wishes = podRequest(request.pod, config.ipFamilies, api, this.#client.datastore.pools());
    const owner = { handle, attributes: this.#attributesOf(request) };
    const certain = request.requested?.length ? request.requested : wishes.addresses;
    const addresses = certain.map((address) => this.#assign(address, owner, request));
    // Whoever asks for certain addresses by annotation gets no others; the cluster asks for those that a pod had.
    const asksAll = certain === wishes.addresses && certain.length > 0;
    const families = asksAll
      ? []
      : wishes.families.filter((family) => certain.every((ip) => familyOf(ip) !== family));
    for (const family of families) {
      const pools = wishes.pools[family];
      const assignments = this.#client.autoAssign({
        count: 1,
        family,
        host: this.#node.name,
        owner,
        use: "Workload",
        ...(pools !== undefined && { pools }),
        namespaceLabels: wishes.namespaceLabels,
        ...this.#forHost(family),
      });
      const problem = fulfilmentProblem(assignments);
      if (problem !== undefined) {
        throw new IpamError(`failed to request IPv${family} addresses: ${problem}`);
      }
      addresses.push(assignments.addresses[0] as InterfaceAddress);
    }
    return addresses;
  }

  /** Windows has nothing of its own in IPv6. */
  #forHost(family: IpFamily): {
    readonly reserved?: HostReserved;
    readonly os: "linux" | "windows";
  } {
    const { os } = this.#node.machine;
    if (this.#reserved === undefined || (os === "windows" && family === 6)) return { os };
    return { os, reserved: this.#reserved };
  }

  #attributesOf({ pod }: IpamRequest): Labels {
    return {
      node: this.#node.name,
      timestamp: goTime(this.#node.clock.now),
      ...(pod !== undefined && { pod: pod.name, namespace: pod.namespace }),
    };
  }

  /** One from outside of all pools is given as it is; it is no business of IPAM's. */
  #assign(address: IpAddress, owner: AddressOwner, request: IpamRequest): InterfaceAddress {
    const family = familyOf(address);
    const { length } = Prefix.host(address);
    const wanted = request.requested?.includes(address) === true;
    if (wanted && !this.holds(address)) return { address, length };
    const assign = () =>
      this.#client.assignIp({
        address,
        host: this.#node.name,
        owner,
        use: "Workload",
        ...this.#forHost(family),
      });
    try {
      assign();
    } catch (error) {
      if (!(error instanceof IpamError)) throw error;
      // As the plugin calico wraps what calico-ipam says (k8s.go ipAddrsResult).
      if (!wanted) throw new IpamError(`error getting IP from IPAM: ${error.message}`);
      if (!(error instanceof ResourceAlreadyExists)) throw error;
      if (!this.#releaseFormer(address, request)) throw error;
      assign();
    }
    return { address, length };
  }

  /** A pod that was written down together with its block has its address already, under the handle of its former sandbox. */
  #releaseFormer(address: IpAddress, { pod }: IpamRequest): boolean {
    const former = this.ownerOf(address);
    if (pod === undefined || former === undefined) return false;
    const { namespace, pod: name } = former.attributes;
    if (namespace !== pod.namespace || name !== pod.name) return false;
    this.#client.releaseIps([
      { address, ...(former.handle !== undefined && { handle: former.handle }) },
    ]);
    return true;
  }

  release(containerId: string): void {
    this.releaseByHandle(this.#handleOf(containerId));
  }

  check(containerId: string): void {
    try {
      if (this.#client.ipsByHandle(this.#handleOf(containerId)).length > 0) return;
    } catch (error) {
      if (!(error instanceof ResourceDoesNotExist)) throw error;
    }
    throw new CniError(CNI_ERROR.generic, `no address is assigned to ${containerId}`);
  }

  holds(address: IpAddress): boolean {
    return poolOfAddress(this.#client.enabledPools(familyOf(address)), address) !== undefined;
  }

  /** The blocks that are affine to the node. */
  ranges(): readonly Prefix[] {
    const owner = { type: "host", host: this.#node.name } as const;
    return this.#client.datastore.affinitiesOf(owner).map(parsePrefix);
  }

  // ---- for the node's tunnels

  assign({ handle, node, attributes, pools }: TunnelAddressRequest): IpAddress {
    const family = pools[0]?.family ?? 4;
    const assignments = this.#client.autoAssign({
      count: 1,
      family,
      host: node,
      owner: { handle, attributes },
      use: "Tunnel",
      pools,
      ...this.#forHost(family),
    });
    const problem = fulfilmentProblem(assignments);
    if (problem !== undefined) throw new IpamError(problem);
    return (assignments.addresses[0] as InterfaceAddress).address;
  }

  releaseByHandle(handle: string): void {
    try {
      this.#client.releaseByHandle(handle);
    } catch (error) {
      if (!(error instanceof IpamError)) throw error;
    }
  }

  ownerOf(address: IpAddress): ReturnType<TunnelIpam["ownerOf"]> {
    try {
      const { handle_id, secondary = {} } = this.#client.assignmentAttributes(address);
      return { ...(handle_id !== undefined && { handle: handle_id }), attributes: secondary };
    } catch (error) {
      if (error instanceof ResourceDoesNotExist || error instanceof AddressInCooldown) {
        return undefined;
      }
      throw error;
    }
  }

  /** cni-plugin/internal/pkg/utils/utils.go GetHandleID */
  #handleOf(containerId: string): string {
    return `${this.#network}.${containerId}`;
  }
}

/** The moment as Go prints a time.Time in UTC. */
function goTime(nowMs: number): string {
  const text = timestamp(nowMs);
  const fraction = String(Math.floor(nowMs % 1000))
    .padStart(3, "0")
    .replace(/0+$/, "");
  const seconds = fraction === "" ? text.slice(11, 19) : `${text.slice(11, 19)}.${fraction}`;
  return `${text.slice(0, 10)} ${seconds} +0000 UTC`;
}
