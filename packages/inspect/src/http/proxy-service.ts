import { type ApiClient, objectKey, type Pod, type Service, selects } from "@cnilab/core";

/** Why the Service that brings the world to a proxy has no address. */
export function withoutAddress(api: ApiClient, service: Service): string {
  const { selector = {} } = service.spec;
  const pods = api
    .list("Pod", service.metadata.namespace)
    .filter(({ metadata }) => selects({ matchLabels: selector }, metadata.labels));
  const key = objectKey(service);
  if (!pods.some(isReady)) return `no pod behind Service ${key} is ready`;
  const { type } = service.spec;
  if (type === "LoadBalancer" && (service.status?.loadBalancer?.ingress ?? []).length === 0) {
    return `no load balancer serves Service ${key}`;
  }
  return "its controller has not seen it yet";
}

export function isReady({ status }: Pod): boolean {
  return status?.conditions?.some((c) => c.type === "Ready" && c.status === "True") === true;
}
