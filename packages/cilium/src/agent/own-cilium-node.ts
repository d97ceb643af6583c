import type { Condition, NodeContext } from "@cnilab/core";
import type { Kernel } from "@cnilab/linux";
import { formatIp, type IpAddress, tryParseIp } from "@cnilab/net";
import { GROUP, VERSION } from "../api/kinds.ts";
import type { CiliumNode, CiliumNodeSpec, NodeAddress } from "../api/v2/node.ts";
import type { NodeAllocation } from "../ipam/cilium-ipam.ts";
import type { AgentConfig } from "../options/agent-config.ts";

/** Where WireGuard's public key of a node stands (pkg/annotation/k8s.go). */
export const WIREGUARD_KEY_ANNOTATION = "network.cilium.io/wg-pub-key";

/** What keeps pods away from a node until its agent runs (pkg/defaults/node.go). */
const AGENT_NOT_READY_TAINT = "node.cilium.io/agent-not-ready";

/** The CiliumNode of an agent's own node, which it writes for the others and for the operator (pkg/nodediscovery). */
export class OwnCiliumNode {
  readonly #node: NodeContext<Kernel>;
  readonly #config: AgentConfig;

  constructor(node: NodeContext<Kernel>, config: AgentConfig) {
    this.#node = node;
    this.#config = config;
  }

  /** Makes it, or brings it up to date: with the addresses of its pool that a former run had, until it has some again. */
  start(): void {
    const { api, name } = this.#node;
    if (api.get("CiliumNode.cilium.io", name) === undefined) {
      api.create<"CiliumNode.cilium.io">(this.#object());
      return;
    }
    this.#change((spec) => ({
      ...spec,
      addresses: [
        ...this.#internalAddresses(),
        ...(spec.addresses ?? []).filter(({ type }) => type === "CiliumInternalIP"),
      ],
    }));
  }

  /** What a former run of the agent took of the node's range. */
  formerAddresses(): {
    readonly router: readonly IpAddress[];
    readonly health: readonly IpAddress[];
  } {
    const { addresses = [], health = {} } =
      this.#node.api.get("CiliumNode.cilium.io", this.#node.name)?.spec ?? {};
    const router = addresses.filter(({ type }) => type === "CiliumInternalIP").map(({ ip }) => ip);
    return { router: parsed(router), health: parsed([health.ipv4, health.ipv6]) };
  }

  /** Nothing to end: the object stays. */
  stop(): void {}

  /** What the node took for itself. */
  announce({ router, health, ranges }: NodeAllocation): void {
    const pair = pairOf(health);
    const copied = this.#config.ipam.mode === "kubernetes" ? { podCIDRs: ranges.map(String) } : {};
    this.#change((spec) => ({
      ...spec,
      addresses: [
        ...this.#internalAddresses(),
        ...router.map((a): NodeAddress => ({ type: "CiliumInternalIP", ip: formatIp(a) })),
      ],
      health: pair,
      ipam: { ...spec.ipam, ...copied },
    }));
  }

  annotate(key: string, value: string): void {
    this.#node.api.update("CiliumNode.cilium.io", this.#node.name, (node) => {
      if (node.metadata.annotations?.[key] === value) return node;
      const annotations = { ...node.metadata.annotations, [key]: value };
      return { ...node, metadata: { ...node.metadata, annotations } };
    });
  }

  change(change: (spec: CiliumNodeSpec) => CiliumNodeSpec): void {
    this.#change(change);
  }

  /** The agent runs: the Node says so, and its taint goes (pkg/k8s/watchers, operator/watchers/node_taint.go). */
  setNetworkAvailable(): void {
    const condition: Condition = {
      type: "NetworkUnavailable",
      status: "False",
      reason: "CiliumIsUp",
      message: "Cilium is running on this node",
    };
    this.#node.api.update("Node", this.#node.name, (node) => {
      const others = (node.status?.conditions ?? []).filter((c) => c.type !== condition.type);
      const taints = node.spec?.taints?.filter(({ key }) => key !== AGENT_NOT_READY_TAINT);
      const tainted = taints?.length !== node.spec?.taints?.length;
      return {
        ...node,
        ...(tainted && { spec: { ...node.spec, taints: taints ?? [] } }),
        status: { ...node.status, conditions: [...others, condition] },
      };
    });
  }

  #object(): CiliumNode {
    const { api, name } = this.#node;
    const node = api.get("Node", name);
    const uid = node?.metadata.uid;
    return {
      apiVersion: `${GROUP}/${VERSION}`,
      kind: "CiliumNode",
      metadata: {
        name,
        ...(node?.metadata.labels !== undefined && { labels: node.metadata.labels }),
        ...(uid !== undefined && {
          ownerReferences: [{ apiVersion: "v1", kind: "Node", name, uid }],
        }),
      },
      spec: {
        addresses: this.#internalAddresses(),
        health: {},
        ingress: {},
        encryption: { key: 0 },
        ipam: {},
      },
    };
  }

  #internalAddresses(): NodeAddress[] {
    return this.#node.addresses.map((a) => ({ type: "InternalIP", ip: formatIp(a) }));
  }

  #change(change: (spec: CiliumNodeSpec) => CiliumNodeSpec): void {
    this.#node.api.update("CiliumNode.cilium.io", this.#node.name, (node) => {
      const spec = change(node.spec);
      return JSON.stringify(spec) === JSON.stringify(node.spec) ? node : { ...node, spec };
    });
  }
}

function parsed(texts: readonly (string | undefined)[]): IpAddress[] {
  return texts.map((text = "") => tryParseIp(text)).filter((a) => a !== undefined);
}

function pairOf(addresses: readonly IpAddress[]): { ipv4?: string; ipv6?: string } {
  const ipv4 = addresses.find((a) => typeof a === "number");
  const ipv6 = addresses.find((a) => typeof a === "object");
  return {
    ...(ipv4 !== undefined && { ipv4: formatIp(ipv4) }),
    ...(ipv6 !== undefined && { ipv6: formatIp(ipv6) }),
  };
}
