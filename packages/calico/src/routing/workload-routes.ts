import { type ApiClient, objectKey, type Pod } from "@cnilab/core";
import { KernelError, type NetNamespace, type RouteProtocol } from "@cnilab/linux";
import { type IpFamily, Prefix, tryParseInterfaceAddress, tryParseIp } from "@cnilab/net";
import type { Subscription } from "rxjs";
import { POD_ANNOTATIONS } from "../cni/pod-annotations.ts";
import { vethName } from "../names/veth-name.ts";

export interface WorkloadRouteSettings {
  readonly interfacePrefix: string;
  /** Metric of the routes (`ipv4NormalRoutePriority`). */
  readonly priority: Readonly<Record<IpFamily, number>>;
  readonly protocol: RouteProtocol;
}

interface Workload {
  readonly dev: string;
  readonly addresses: readonly Prefix[];
}

/**
 * Felix's routes to a node's own pods, in the place of those that the CNI plugin made: these have another metric, so Felix takes them
 * for left-overs (`felix/dataplane/linux/endpoint_mgr.go`, `felix/routetable`).
 */
export class WorkloadRoutes {
  readonly #netns: NetNamespace;
  readonly #node: string;
  readonly #settings: WorkloadRouteSettings;
  readonly #workloads = new Map<string, Workload>();
  #subscription: Subscription | undefined;

  constructor(netns: NetNamespace, node: string, settings: WorkloadRouteSettings) {
    this.#netns = netns;
    this.#node = node;
    this.#settings = settings;
  }

  start(api: ApiClient): void {
    this.#subscription = api.watchPodsOfNode(this.#node).subscribe(({ type, object }) => {
      if (object.spec.hostNetwork === true) return;
      this.#set(objectKey(object), type === "DELETED" ? undefined : this.#workloadOf(object));
    });
  }

  stop(): void {
    this.#subscription?.unsubscribe();
    this.#subscription = undefined;
  }

  /** Puts back what is not as it should be. */
  refresh(): void {
    for (const { addresses, dev } of this.#workloads.values()) {
      for (const dst of addresses) this.#program(dst, dev);
    }
  }

  #workloadOf(pod: Pod): Workload | undefined {
    const addresses = podAddresses(pod);
    if (addresses.length === 0) return undefined;
    const { namespace = "default", name } = pod.metadata;
    return { dev: vethName(namespace, name, this.#settings.interfacePrefix), addresses };
  }

  #set(key: string, now: Workload | undefined): void {
    const before = this.#workloads.get(key);
    if (before !== undefined && now !== undefined && sameWorkload(before, now)) return;
    for (const dst of before?.addresses ?? []) {
      if (!now?.addresses.some((a) => a.equals(dst))) this.#remove(dst);
    }
    if (now === undefined) this.#workloads.delete(key);
    else {
      this.#workloads.set(key, now);
      for (const dst of now.addresses) this.#program(dst, now.dev);
    }
  }

  #program(dst: Prefix, name: string): void {
    const dev = this.#netns.findDevice(name);
    if (dev?.up !== true) return;
    const { protocol, priority } = this.#settings;
    const metric = priority[dst.family];
    const { main } = this.#netns.fib(dst.family);
    const ours = main.routesTo(dst);
    if (!ours.some((r) => r.metric === metric && r.nexthop.dev === dev)) {
      this.#netns.addRoute({ dst, dev, metric, protocol }, "replace");
    }
    for (const route of ours) {
      if (route.metric !== metric && route.nexthop.dev === dev)
        main.remove(dst, (r) => r === route);
    }
    this.#netns.network.touch();
  }

  #remove(dst: Prefix): void {
    try {
      this.#netns.deleteRoute({ dst, metric: this.#settings.priority[dst.family] });
    } catch (error) {
      // It went with its device.
      if (!(error instanceof KernelError) || error.errno !== "ESRCH") throw error;
    }
  }
}

/**
 * What the CNI plugin has written down, which is there before the kubelet's word, or else that; nothing of a pod that has ended
 * (`libcalico-go/lib/backend/k8s/conversion/conversion.go` getPodIPs).
 */
export function podAddresses({ metadata, status }: Pod): Prefix[] {
  const written =
    metadata.annotations?.[POD_ANNOTATIONS.podIps] ?? metadata.annotations?.[POD_ANNOTATIONS.podIp];
  if (status?.phase === "Failed" || status?.phase === "Succeeded" || written === "") return [];
  const texts = written?.split(",") ?? status?.podIPs?.map(({ ip }) => ip) ?? [status?.podIP ?? ""];
  return texts
    .map((text) => tryParseInterfaceAddress(text)?.address ?? tryParseIp(text))
    .filter((address) => address !== undefined)
    .map((address) => Prefix.host(address));
}

function sameWorkload(x: Workload, y: Workload): boolean {
  return (
    x.dev === y.dev &&
    x.addresses.length === y.addresses.length &&
    x.addresses.every((a, i) => a.equals(y.addresses[i] as Prefix))
  );
}
