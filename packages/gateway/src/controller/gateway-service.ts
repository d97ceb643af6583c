import type { Gateway, KubeObject, Service, ServicePort } from "@cnilab/core";
import { tryParseIp } from "@cnilab/net";
import type { ServedPort } from "../routing/proxy-rules.ts";

export const GATEWAY_NAMESPACE = "cnilab-gateway";
export const GATEWAY_NAME = "cnilab-gateway";
/** What the pods' readiness is asked on. */
export const HEALTH_PORT = 10_254;

/** Which Gateway a Service is of. The well-known label (GEP-1762) says it as well, where the name is short enough for one. */
const GATEWAY_ANNOTATION = "cnilab.dev/gateway";
const NAME_LABEL = "gateway.networking.k8s.io/gateway-name";
/** A label's value, and the name of a Service, have so many characters at most. */
const LONGEST = 63;

/** `namespace/name` of the Gateway that a Service brings traffic for. */
export function gatewayOf({ metadata }: Service): string | undefined {
  return metadata.annotations?.[GATEWAY_ANNOTATION];
}

/**
 * The Service by which the world comes to a Gateway. All Gateways share one proxy, but each has an address of its own, so that the
 * port tells whose a connection is: where two Gateways have the same, the second one's leads to another port of the pods.
 * @param others Services of the other Gateways
 */
export function gatewayService(
  gateway: Gateway,
  ports: readonly ServedPort[],
  others: readonly Service[],
  own: Service | undefined,
): Service {
  const { namespace = "default", name } = gateway.metadata;
  const requested = gateway.spec.addresses?.find(
    ({ type = "IPAddress", value = "" }) => type === "IPAddress" && tryParseIp(value) !== undefined,
  )?.value;
  const service: KubeObject & { readonly spec: Service["spec"] } = {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name: own?.metadata.name ?? serviceName(namespace, name, others),
      namespace: GATEWAY_NAMESPACE,
      labels: {
        "app.kubernetes.io/name": GATEWAY_NAME,
        ...(name.length <= LONGEST && { [NAME_LABEL]: name }),
      },
      annotations: {
        ...gateway.spec.infrastructure?.annotations,
        [GATEWAY_ANNOTATION]: `${namespace}/${name}`,
      },
    },
    spec: {
      type: "LoadBalancer",
      externalTrafficPolicy: "Local",
      selector: { "app.kubernetes.io/name": GATEWAY_NAME },
      ports: servicePorts(ports, others, own),
      ...(requested === undefined ? {} : { loadBalancerIP: requested }),
    },
  };
  return service as Service;
}

/** The first is called as the proxy itself; a further one after its Gateway, too. */
function serviceName(namespace: string, name: string, others: readonly Service[]): string {
  if (!others.some(({ metadata }) => metadata.name === GATEWAY_NAME)) return GATEWAY_NAME;
  const whole = `${GATEWAY_NAME}-${namespace}-${name}`;
  if (whole.length <= LONGEST && !whole.includes(".")) return whole;
  // A Service's name has no dots; the hash keeps names apart that differ only in what is lost.
  let hash = 0x811c9dc5;
  for (let i = 0; i < whole.length; i++) hash = Math.imul(hash ^ whole.charCodeAt(i), 0x01000193);
  const suffix = `-${(hash >>> 0).toString(16).padStart(8, "0")}`;
  const start = whole.replaceAll(".", "-").slice(0, LONGEST - suffix.length);
  return `${start.replace(/-+$/, "")}${suffix}`;
}

export function servicePorts(
  ports: readonly ServedPort[],
  others: readonly Service[],
  own: Service | undefined,
): ServicePort[] {
  const taken = new Set(others.flatMap(({ spec }) => (spec.ports ?? []).map(idOf)));
  taken.add(`TCP ${HEALTH_PORT}`);
  const wanted = new Map(
    ports.map(({ port, protocol }) => {
      const transport = protocol === "UDP" ? ("UDP" as const) : ("TCP" as const);
      return [`${transport} ${port}`, { port, protocol: transport }] as const;
    }),
  );
  return [...wanted.values()].map(({ port, protocol }) => {
    const there = own?.spec.ports?.find((p) => p.port === port && p.protocol === protocol);
    if (there !== undefined) return there;
    let targetPort = port;
    while (taken.has(`${protocol} ${targetPort}`)) targetPort = nextPort(targetPort);
    taken.add(`${protocol} ${targetPort}`);
    return { name: `${protocol.toLowerCase()}-${port}`, protocol, port, targetPort };
  });
}

function idOf({ protocol = "TCP", targetPort, port }: ServicePort): string {
  return `${protocol} ${targetPort ?? port}`;
}

/** As 80, 10080, 10081, … */
function nextPort(port: number): number {
  if (port < 10_000) return port + 10_000;
  return port === 65_535 ? 10_000 : port + 1;
}
