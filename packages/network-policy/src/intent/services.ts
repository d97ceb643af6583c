import {
  type KubeObject,
  type Protocol,
  type Service,
  type ServicePort,
  selects,
} from "@cnilab/core";
import type { Workload } from "../connections/workloads.ts";
import type { PolicyEndpoint } from "../policy/policy-endpoint.ts";

/** A port of a pod behind a port of a Service. */
export interface Backend {
  readonly workload: Workload;
  readonly pod: PolicyEndpoint;
  readonly port: number;
}

/** The Services among some objects, by their DNS names. */
export class Services {
  readonly #services: readonly Service[];
  readonly #workloads: readonly Workload[];

  constructor(objects: readonly KubeObject[], all: readonly Workload[]) {
    this.#services = objects.filter((each): each is Service => each.kind === "Service");
    this.#workloads = all;
  }

  [Symbol.iterator](): IterableIterator<Service> {
    return this.#services[Symbol.iterator]();
  }

  /** @param host as a program in `namespace` would say it: `web`, `web.shop`, `web.shop.svc`, with a domain or without */
  find(host: string, namespace: string): Service | undefined {
    const [name, of = namespace, svc = "svc"] = host.replace(/\.$/, "").split(".");
    if (svc !== "svc") return undefined;
    return this.#services.find(
      ({ metadata }) => metadata.name === name && (metadata.namespace ?? "default") === of,
    );
  }

  backends(
    service: Service,
    { port, targetPort = port, protocol = "TCP" }: ServicePort,
  ): readonly Backend[] {
    const { metadata, spec } = service;
    const { selector } = spec;
    if (selector === undefined || Object.keys(selector).length === 0) return [];
    const namespace = metadata.namespace ?? "default";
    return this.#workloads.flatMap((workload) => {
      if (workload.namespace !== namespace) return [];
      return workload.pods.flatMap((pod) => {
        if (!selects({ matchLabels: selector }, pod.pod?.labels)) return [];
        const number =
          typeof targetPort === "number" ? targetPort : named(pod, targetPort, protocol);
        return number === undefined ? [] : [{ workload, pod, port: number }];
      });
    });
  }
}

function named({ ports }: PolicyEndpoint, name: string, protocol: Protocol): number | undefined {
  return ports?.find((port) => port.name === name && port.protocol === protocol)?.port;
}
