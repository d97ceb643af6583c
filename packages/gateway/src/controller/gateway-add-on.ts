import type { AddOn, ApiClient, GatewayClass, KubeObject, Service } from "@cnilab/core";
import { gatewayState } from "../gateway-api/gateway-state.ts";
import {
  GATEWAY_CLASS_NAME,
  GATEWAY_CONTROLLER_NAME,
  GATEWAY_IMAGE,
  gatewayInput,
  gatewayServices,
  othersOf,
} from "./gateway-program.ts";
import { GATEWAY_NAME, GATEWAY_NAMESPACE, gatewayService, HEALTH_PORT } from "./gateway-service.ts";

const LABELS = { "app.kubernetes.io/name": GATEWAY_NAME };

const CLASS: GatewayClass = {
  apiVersion: "gateway.networking.k8s.io/v1",
  kind: "GatewayClass",
  metadata: { name: GATEWAY_CLASS_NAME },
  spec: { controllerName: GATEWAY_CONTROLLER_NAME },
};

/** The controller of GatewayClass `cnilab` and the proxy of its Gateways; a Service for each of them. */
export class GatewayAddOn implements AddOn {
  readonly name = "cnilab-gateway";

  objects(api: ApiClient): readonly KubeObject[] {
    if (api.list("Gateway").length === 0) return [];
    const classes = api.get("GatewayClass", GATEWAY_CLASS_NAME) === undefined ? [CLASS] : [];
    return [...classes, ...OBJECTS, ...this.#services(api)];
  }

  #services(api: ApiClient): Service[] {
    const { gateways } = gatewayState(gatewayInput(api), {
      controllerName: GATEWAY_CONTROLLER_NAME,
    });
    const services = new Map(gatewayServices(api));
    const made: Service[] = [];
    const oldestFirst = [...gateways].sort(([x], [y]) => {
      const [a, b] = [created(api, x), created(api, y)];
      return a < b ? -1 : a > b ? 1 : x < y ? -1 : 1;
    });
    for (const [key, { ports }] of oldestFirst) {
      const gateway = api.get("Gateway", key);
      if (gateway === undefined || services.has(key) || ports.length === 0) continue;
      const service = gatewayService(gateway, ports, othersOf(services, key), undefined);
      services.set(key, service);
      made.push(service);
    }
    return made;
  }
}

function created(api: ApiClient, key: string): string {
  return api.get("Gateway", key)?.metadata.creationTimestamp ?? "";
}

const OBJECTS: readonly KubeObject[] = [
  { apiVersion: "v1", kind: "Namespace", metadata: { name: GATEWAY_NAMESPACE, labels: LABELS } },
  {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: GATEWAY_NAME, namespace: GATEWAY_NAMESPACE, labels: LABELS },
    spec: {
      replicas: 1,
      selector: { matchLabels: LABELS },
      template: {
        metadata: { labels: LABELS },
        spec: {
          nodeSelector: { "kubernetes.io/os": "linux" },
          containers: [
            {
              name: "gateway",
              image: GATEWAY_IMAGE,
              readinessProbe: { httpGet: { path: "/healthz", port: HEALTH_PORT } },
            },
          ],
        },
      },
    },
  } as KubeObject,
];
