import { type ApiClient, objectKey, type Pod } from "@cnilab/core";
import type { ProxyAttempt, ProxyReport } from "@cnilab/gateway";
import { formatEndpoint, formatIp } from "@cnilab/net";
import { isReady } from "./proxy-service.ts";

/** What is wrong with the pods behind a backend that gave no answer, as far as they show it. */
export function backendProblem(
  api: ApiClient,
  status: number,
  { backend, attempts }: ProxyReport,
): string | undefined {
  if (backend === undefined) return undefined;
  if (status === 502) return unheard(api, attempts);
  if (status !== 503) return undefined;
  const names = api
    .list("EndpointSlice", backend.namespace)
    .filter(({ metadata }) => metadata.labels?.["kubernetes.io/service-name"] === backend.name)
    .flatMap(({ endpoints }) => endpoints)
    .filter(({ conditions }) => conditions?.ready === false)
    .flatMap(({ targetRef }) => (targetRef?.kind === "Pod" ? (targetRef.name ?? []) : []));
  const pod = names.map((name) => api.get("Pod", `${backend.namespace}/${name}`)).find((p) => p);
  return pod === undefined || isReady(pod)
    ? undefined
    : `pod ${objectKey(pod)}: ${whyUnready(pod)}`;
}

/** The probe that a container fails; else what the pod's conditions say. */
function whyUnready({ spec, status }: Pod): string {
  for (const { name, readinessProbe: probe } of spec.containers) {
    const ready = status?.containerStatuses?.find((c) => c.name === name)?.ready;
    if (probe === undefined || ready === true) continue;
    const { httpGet, tcpSocket } = probe;
    const asked =
      httpGet === undefined
        ? tcpSocket && `TCP port ${tcpSocket.port}`
        : `GET ${httpGet.path ?? "/"} on port ${httpGet.port}`;
    return `the readiness probe of container ${name}${asked === undefined ? "" : ` (${asked})`} does not succeed`;
  }
  const condition = status?.conditions?.find((c) => c.type === "Ready");
  return condition?.message ?? condition?.reason ?? "not ready";
}

/** Pods that do not listen where the Service leads to. */
function unheard(api: ApiClient, attempts: readonly ProxyAttempt[]): string | undefined {
  for (const { endpoint, timedOut } of attempts) {
    if (timedOut) continue;
    const ip = formatIp(endpoint.address);
    const pod = api.list("Pod").find(({ status }) => status?.podIPs?.some((p) => p.ip === ip));
    const ports = pod?.spec.containers.flatMap(({ ports: own = [] }) => own) ?? [];
    if (pod === undefined || ports.some(({ containerPort }) => containerPort === endpoint.port)) {
      continue;
    }
    const has = ports.map(({ name, containerPort }) =>
      name === undefined ? `${containerPort}` : `${name} ${containerPort}`,
    );
    return `pod ${objectKey(pod)} has no port ${endpoint.port} (${formatEndpoint(endpoint.address, endpoint.port)}), but ${has.join(", ") || "none"}: mend the Service's targetPort`;
  }
  return undefined;
}
