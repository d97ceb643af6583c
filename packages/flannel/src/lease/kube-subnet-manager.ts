import type { ApiClient, Condition, Node } from "@cnilab/core";
import { type IpAddress, type IpFamily, type Mac, type Prefix, tryParseMac } from "@cnilab/net";
import { type NetConf, networkOf } from "../conf/net-conf.ts";
import { addressIn, annotate, podCidrOf } from "./annotations.ts";
import type { Lease, LeaseAttributes } from "./lease.ts";
import type { NodeLeases, NodeView } from "./node-leases.ts";
import { FlanneldError, type LeaseUpdate, type SubnetManager } from "./subnet-manager.ts";

/** Backends of which a lease may have an IPv6 side; the others get an IPv4 lease whatever is enabled. */
const DUAL_STACK: readonly string[] = ["vxlan", "host-gw", "wireguard"];

export interface KubeSubnetManagerOptions {
  /** `--set-node-network-unavailable`. */
  readonly setNodeNetworkUnavailable: boolean;
}

/** Leases are nodes' pod ranges, and what a node tells of itself are annotations (pkg/subnet/kube/kube.go). */
export class KubeSubnetManager implements SubnetManager {
  readonly #api: ApiClient;
  readonly #nodeName: string;
  readonly #conf: NetConf;
  readonly #leases: NodeLeases;
  readonly #options: KubeSubnetManagerOptions;

  constructor(
    api: ApiClient,
    nodeName: string,
    conf: NetConf,
    leases: NodeLeases,
    options: KubeSubnetManagerOptions = { setNodeNetworkUnavailable: true },
  ) {
    this.#api = api;
    this.#nodeName = nodeName;
    this.#conf = conf;
    this.#leases = leases;
    this.#options = options;
  }

  acquireLease(attributes: LeaseAttributes): Lease {
    const node = this.#node();
    const { podCIDR, podCIDRs = [] } = node.spec ?? {};
    if (podCIDR === undefined || podCIDR === "") {
      throw new FlanneldError(`node "${this.#nodeName}" pod cidr not assigned`);
    }
    if (podCIDRs.length > 2) {
      throw new FlanneldError(
        `node "${this.#nodeName}" pod cidrs should be IPv4/IPv6 only or dualstack`,
      );
    }
    const subnet = this.#podCidr(node, 4);
    const ipv6Subnet = this.#podCidr(node, 6);
    this.#api.update("Node", this.#nodeName, (old) => {
      const before = old.metadata.annotations ?? {};
      const annotations = annotate(before, attributes, this.#leases.names);
      return annotations === before ? old : { ...old, metadata: { ...old.metadata, annotations } };
    });
    const both = DUAL_STACK.includes(attributes.backendType);
    return {
      enableIPv4: !both || this.#conf.enableIPv4,
      enableIPv6: both && this.#conf.enableIPv6,
      subnet,
      ipv6Subnet,
      attributes,
    };
  }

  /** The node's range of a family, if that is enabled; it has to lie in the network. */
  #podCidr(node: Node, family: IpFamily): Prefix | undefined {
    const network = networkOf(this.#conf, family);
    const podCidr = podCidrOf(node, family);
    if (network === undefined || podCidr === undefined) return undefined;
    if (network.covers(podCidr)) return podCidr;
    const kind = family === 4 ? "PodCIDR" : "IPv6 PodCIDR";
    throw new FlanneldError(
      `subnet "${network}" specified in the flannel net config doesn't contain "${podCidr}" ${kind} of the "${this.#nodeName}" node`,
    );
  }

  storedMac(family: IpFamily): Mac | undefined {
    const { names } = this.#leases;
    const data = this.#annotations()[family === 4 ? names.backendData : names.backendV6Data] ?? "";
    // As flanneld cuts it out of the text, without parsing the JSON.
    const parts = data.replace(/^["}]+|["}]+$/g, "").split(':"');
    return parts.length === 2 ? tryParseMac(parts[1] as string) : undefined;
  }

  storedPublicIp(family: IpFamily): IpAddress | undefined {
    const { names } = this.#leases;
    const name = family === 4 ? names.nodePublicIp : names.nodePublicIpv6;
    return addressIn(this.#annotations(), name, family);
  }

  watchLeases(report: (update: LeaseUpdate) => void): () => void {
    let view: NodeView | undefined;
    const subscription = this.#api.snapshots("Node").subscribe((snapshot) => {
      if (view === undefined) {
        view = this.#leases.fresh(snapshot);
        report({ table: view.table, events: undefined });
        return;
      }
      const next = view.next(snapshot);
      view = next.view;
      if (next.events !== undefined) report({ table: view.table, events: next.events });
    });
    return () => subscription.unsubscribe();
  }

  completeLease(): () => void {
    if (this.#options.setNodeNetworkUnavailable) this.#setNetworkAvailable();
    return () => {};
  }

  #setNetworkAvailable(): void {
    const condition: Condition = {
      type: "NetworkUnavailable",
      status: "False",
      reason: "FlannelIsUp",
      message: "Flannel is running on this node",
    };
    this.#api.update("Node", this.#nodeName, (node) => {
      const conditions = node.status?.conditions ?? [];
      const at = conditions.findIndex((c) => c.type === condition.type);
      const old = conditions[at];
      if (old?.status === condition.status && old.reason === condition.reason) return node;
      const changed = at < 0 ? [...conditions, condition] : conditions.with(at, condition);
      return { ...node, status: { ...node.status, conditions: changed } };
    });
  }

  #annotations(): Readonly<Record<string, string>> {
    return this.#api.get("Node", this.#nodeName)?.metadata.annotations ?? {};
  }

  #node(): Node {
    const node = this.#api.get("Node", this.#nodeName);
    if (node !== undefined) return node;
    throw new FlanneldError(`timeout contacting kube-api, node "${this.#nodeName}" does not exist`);
  }
}
