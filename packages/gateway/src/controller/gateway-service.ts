import type { Gateway, KubeObject, Service, ServicePort } from "@cnilab/core";
import type { ServedPort } from "../routing/proxy-rules.ts";

export const GATEWAY_NAMESPACE = "cnilab-gateway";
export const GATEWAY_NAME = "cnilab-gateway";

/** Which Gateway a Service is of, by the well-known labels (Gateway API GEP-1762). */
const NAME_LABEL = "gateway.networking.k8s.io/gateway-name";
const NAMESPACE_LABEL = "cnilab.dev/gateway-namespace";

/** `namespace/name` of the Gateway that a Service brings traffic for. */
export function gatewayOf({ metadata }: Service): string | undefined {
  const { [NAME_LABEL]: name, [NAMESPACE_LABEL]: namespace } = metadata.labels ?? {};
  return name === undefined || namespace === undefined ? undefined : `${namespace}/${name}`;
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
    ({ type = "IPAddress", value }) => type === "IPAddress" && value !== undefined,
  )?.value;
  const service: KubeObject & { readonly spec: Service["spec"] } = {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name: own?.metadata.name ?? serviceName(namespace, name, others),
      namespace: GATEWAY_NAMESPACE,
      labels: {
        "app.kubernetes.io/name": GATEWAY_NAME,
        [NAME_LABEL]: name,
        [NAMESPACE_LABEL]: namespace,
      },
      ...(gateway.spec.infrastructure?.annotations && {
        annotations: gateway.spec.infrastructure.annotations,
      }),
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
  // A Service's name has 63 characters at most.
  return `${GATEWAY_NAME}-${namespace}-${name}`.slice(0, 63).replace(/[-.]+$/, "");
}

export function servicePorts(
  ports: readonly ServedPort[],
  others: readonly Service[],
  own: Service | undefined,
): ServicePort[] {
  const taken = new Set(others.flatMap(({ spec }) => (spec.ports ?? []).map(idOf)));
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
