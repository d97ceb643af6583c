import { objectKey } from "@cnilab/core";
import { type IpAddress, tryParseIp } from "@cnilab/net";
import type { ApiStore } from "../api/api-store.ts";

export interface AddressHolder {
  readonly kind: "pod" | "service" | "node";
  readonly name: string;
}

/** Who has an address; made anew when pods, Services or nodes have changed since it was last asked. */
export class AddressBook {
  readonly #api: ApiStore;
  readonly #holders = new Map<IpAddress, AddressHolder>();
  #version = "";

  constructor(api: ApiStore) {
    this.#api = api;
  }

  find(address: IpAddress): AddressHolder | undefined {
    const version = (["Pod", "Service", "Node"] as const)
      .map((kind) => this.#api.version(kind))
      .join(" ");
    if (version !== this.#version) {
      this.#version = version;
      this.#fill();
    }
    return this.#holders.get(address);
  }

  #fill(): void {
    this.#holders.clear();
    for (const pod of this.#api.list("Pod")) {
      if (pod.spec.hostNetwork === true) continue;
      for (const { ip } of pod.status?.podIPs ?? []) this.#add(ip, "pod", objectKey(pod));
    }
    for (const service of this.#api.list("Service")) {
      const { clusterIPs = [], externalIPs = [] } = service.spec;
      const ingress = service.status?.loadBalancer?.ingress ?? [];
      for (const ip of [...clusterIPs, ...externalIPs, ...ingress.map((i) => i.ip ?? "")]) {
        this.#add(ip, "service", objectKey(service));
      }
    }
    for (const node of this.#api.list("Node")) {
      for (const { address } of node.status?.addresses ?? []) {
        this.#add(address, "node", node.metadata.name);
      }
    }
  }

  #add(text: string, kind: AddressHolder["kind"], name: string): void {
    const address = tryParseIp(text);
    if (address !== undefined) this.#holders.set(address, { kind, name });
  }
}
