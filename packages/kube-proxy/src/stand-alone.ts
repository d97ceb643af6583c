import type { EndpointSlice, KubeObject, Node, Service, Snapshot } from "@cnilab/core";
import { objectKey } from "@cnilab/core";
import type { NetNamespace } from "@cnilab/linux";
import { tryParseIp } from "@cnilab/net";
import type { KubeProxyConfig } from "./config.ts";
import type { ProxiedFamily } from "./kube-proxy.ts";
import { Proxiers } from "./proxiers.ts";

/** More milliseconds between two syncs than anything that kube-proxy puts off waits. */
const SYNC_INTERVAL = 10_000;

/**
 * kube-proxy for one node and exactly these objects, with no cluster and no clock around it: each
 * {@link apply} is a sync, long after the one before.
 */
export class StandAloneKubeProxy {
  readonly #netns: NetNamespace;
  readonly #nodeName: string;
  readonly #config: KubeProxyConfig;
  #families: readonly ProxiedFamily[] | undefined;
  #version = 0;

  constructor(netns: NetNamespace, nodeName: string, config: KubeProxyConfig) {
    this.#netns = netns;
    this.#nodeName = nodeName;
    this.#config = config;
  }

  /** @param objects all that the API server holds; the Node among them is read the first time only */
  apply(objects: readonly KubeObject[]): void {
    this.#families ??= this.#start(objects.find((o) => this.#isOwnNode(o)) as Node | undefined);
    this.#version++;
    const services = this.#snapshot<Service>(objects, "Service");
    const slices = this.#snapshot<EndpointSlice>(objects, "EndpointSlice");
    const now = this.#version * SYNC_INTERVAL;
    for (const { states, proxier, health } of this.#families) {
      const state = states.of(services, slices);
      proxier.sync(state, now);
      health.sync(state);
    }
  }

  #isOwnNode(object: KubeObject): boolean {
    return object.kind === "Node" && object.metadata.name === this.#nodeName;
  }

  #start(node: Node | undefined): ProxiedFamily[] {
    const addresses = node?.status?.addresses?.filter((a) => a.type === "InternalIP") ?? [];
    return new Proxiers(this.#config, []).of({
      netns: this.#netns,
      topology: {
        name: this.#nodeName,
        zone: node?.metadata.labels?.["topology.kubernetes.io/zone"] ?? "",
      },
      addresses: addresses.flatMap((a) => tryParseIp(a.address) ?? []),
      podCidrs: () => node?.spec?.podCIDRs ?? [],
    });
  }

  #snapshot<T extends KubeObject>(objects: readonly KubeObject[], kind: T["kind"]): Snapshot<T> {
    const own = objects.filter((o): o is T => o.kind === kind);
    return { version: this.#version, objects: new Map(own.map((o) => [objectKey(o), o])) };
  }
}
