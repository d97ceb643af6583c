import {
  type Ingress,
  type IntOrString,
  type KubeObject,
  type Service,
  type ServicePort,
  selects,
} from "@cnilab/core";
import { IPV4_ANY } from "@cnilab/net";
import { evaluateSide } from "../policy/evaluate.ts";
import type { PolicyEndpoint } from "../policy/policy-endpoint.ts";
import type { PolicyView } from "../policy/policy-reader.ts";
import type { Workload } from "./workloads.ts";

/** A TCP port of a workload that an Ingress or Route leads to. */
export interface IngressConnection {
  readonly destination: Workload;
  readonly port: number;
  /** Whether the workload's policies let the controller in. */
  readonly admitted: boolean;
}

/** The controller is taken for a pod that no selector knows: without labels, in a namespace without labels. */
const CONTROLLER: PolicyEndpoint = {
  name: "{ingress-controller}",
  address: IPV4_ANY,
  pod: { namespace: "", namespaceLabels: {}, labels: {} },
};

/**
 * What an ingress controller opens at workloads for the Ingresses (networking.k8s.io) and Routes
 * (route.openshift.io) among some objects, through their Services. Policies of the workload's side decide.
 */
export function ingressConnections(
  objects: readonly KubeObject[],
  { policies, endpoint }: Pick<PolicyView, "policies" | "endpoint">,
  all: readonly Workload[],
): readonly IngressConnection[] {
  const controller = endpoint(CONTROLLER);
  const found = new Map<string, IngressConnection>();
  for (const { namespace, service, port } of backends(objects)) {
    for (const servicePort of portsOf(service, port)) {
      for (const destination of all) {
        for (const number of targets(destination, namespace, service, servicePort)) {
          const admits = destination.pods.some((pod) => {
            const flow = {
              source: controller,
              destination: pod,
              protocol: "TCP",
              port: number,
            } as const;
            return evaluateSide(policies, "ingress", flow).allowed;
          });
          const key = `${destination.namespace}/${destination.name}[${destination.kind}] ${number}`;
          found.set(key, { destination, port: number, admitted: admits });
        }
      }
    }
  }
  return [...found.values()];
}

interface Backend {
  readonly namespace: string;
  readonly service: Service;
  /** Of an Ingress, the Service's port; of a Route, the name of one or a port of the pods. Absent: any. */
  readonly port: { readonly service?: IntOrString; readonly pods?: IntOrString };
}

interface RouteSpec {
  readonly to?: { readonly kind?: string; readonly name: string };
  readonly alternateBackends?: readonly { readonly kind?: string; readonly name: string }[];
  readonly port?: { readonly targetPort?: IntOrString };
}

function backends(objects: readonly KubeObject[]): readonly Backend[] {
  const services = new Map<string, Service>();
  for (const object of objects) {
    const { namespace = "default", name } = object.metadata;
    if (object.kind === "Service") services.set(`${namespace}/${name}`, object as Service);
  }
  return objects.flatMap((object) => {
    const namespace = object.metadata.namespace ?? "default";
    return references(object).flatMap(({ name, port }) => {
      const service = services.get(`${namespace}/${name}`);
      return service === undefined ? [] : [{ namespace, service, port }];
    });
  });
}

function references(
  object: KubeObject,
): readonly { readonly name: string; readonly port: Backend["port"] }[] {
  if (object.kind === "Ingress") {
    const { defaultBackend, rules = [] } = (object as Ingress).spec ?? {};
    const ofPaths = rules.flatMap(({ http }) => (http?.paths ?? []).map((path) => path.backend));
    return [defaultBackend, ...ofPaths].flatMap((backend) => {
      const { name, port } = backend?.service ?? {};
      const number = port?.number ?? port?.name;
      if (name === undefined) return [];
      return [{ name, port: number === undefined ? {} : { service: number } }];
    });
  }
  if (object.kind === "Route") {
    const { spec } = object as { readonly spec?: RouteSpec };
    const all = [spec?.to, ...(spec?.alternateBackends ?? [])];
    const target = spec?.port?.targetPort;
    return all.flatMap((to) =>
      to === undefined
        ? []
        : [{ name: to.name, port: target === undefined ? {} : { pods: target } }],
    );
  }
  return [];
}

function portsOf(
  { spec: { ports = [] } }: Service,
  { service, pods }: Backend["port"],
): readonly ServicePort[] {
  return ports.filter((port) => {
    if ((port.protocol ?? "TCP") !== "TCP") return false;
    if (service !== undefined) return port.port === service || port.name === service;
    if (pods === undefined) return true;
    return port.name === pods || (port.targetPort ?? port.port) === pods;
  });
}

function targets(
  workload: Workload,
  namespace: string,
  { spec: { selector } }: Service,
  { port, targetPort = port }: ServicePort,
): readonly number[] {
  if (workload.namespace !== namespace || selector === undefined) return [];
  const chosen = workload.pods.filter(({ pod }) => selects({ matchLabels: selector }, pod?.labels));
  return chosen.flatMap(({ ports }) => {
    if (typeof targetPort === "number") return [targetPort];
    const named = ports?.find(({ name, protocol }) => name === targetPort && protocol === "TCP");
    return named === undefined ? [] : [named.port];
  });
}
