import { isNamespaced } from "@cnilab/cluster";
import {
  DEFAULT_CLASS_ANNOTATION,
  type Gateway,
  type GatewayClass,
  type HTTPRoute,
  INGRESS_CLASS_ANNOTATION,
  type IngressClass,
  type Kind,
  type Kinds,
  type KubeObject,
  objectKey,
  withDefaultIngressClass,
} from "@cnilab/core";
import {
  type GatewayInput,
  gatewayState,
  type IngressDialect,
  type IngressFinding,
  type IngressSide,
  ingressRules,
  type ProxyRules,
} from "@cnilab/gateway";

const NGINX = "k8s.io/ingress-nginx";
const CONTROLLER = "cnilab.dev/any";

export interface DoorOptions {
  readonly ingressAs: IngressDialect;
  /** The class of an Ingress that has no object for it in the input. */
  readonly ingressClass: string;
}

/** What manifests open to the outside, without a cluster: all Ingresses as one controller serves them, and each Gateway. */
export interface Doors {
  /** Absent where there is no Ingress. */
  readonly ingress?: IngressSide;
  /** By `namespace/name`. */
  readonly gateways: ReadonlyMap<string, GatewayDoor>;
  readonly warnings: readonly string[];
}

export interface GatewayDoor {
  readonly rules: ProxyRules;
  readonly gateway: Gateway;
  readonly routes: readonly HTTPRoute[];
}

export function doorsOf(objects: readonly KubeObject[], options: DoorOptions): Doors {
  const byKind = new Map<string, KubeObject[]>();
  for (const given of objects) {
    const object = withNamespace(given);
    const list = byKind.get(object.kind);
    if (list === undefined) byKind.set(object.kind, [object]);
    else list.push(object);
  }
  const all = <K extends Kind>(kind: K): readonly Kinds[K][] =>
    (byKind.get(kind) ?? []) as unknown as readonly Kinds[K][];
  /** Where the input has none of a kind, nothing is said about those that are named. */
  const some = <K extends Kind>(kind: K): readonly Kinds[K][] | undefined =>
    byKind.has(kind) ? all(kind) : undefined;
  const warnings: string[] = [];

  const classes = withClass(all("IngressClass"), options.ingressClass);
  const ingresses = all("Ingress").map((ingress) => withDefaultIngressClass(ingress, classes));
  const [services, secrets] = [some("Service"), some("Secret")];
  const rest = { ...(services && { services }), ...(secrets && { secrets }) };
  const served = ingressRules(
    { ingresses, ingressClasses: classes, ...rest },
    {
      dialect: options.ingressAs,
      ingressClass: options.ingressClass,
      watchIngressWithoutClass: true,
    },
  );
  for (const ingress of ingresses) {
    if (served.claimed.includes(ingress)) continue;
    const annotation = ingress.metadata.annotations?.[INGRESS_CLASS_ANNOTATION];
    const name = ingress.spec.ingressClassName ?? `${annotation} (annotation)`;
    warnings.push(
      `Ingress ${objectKey(ingress)}: class ${name} belongs to no controller that is looked at; --ingress-class names it`,
    );
  }
  warnings.push(...served.findings.map(findingText));

  const gateways = all("Gateway");
  const routes = all("HTTPRoute");
  const made = impliedGateways(gateways, routes);
  for (const { metadata } of made) {
    warnings.push(
      `Gateway ${metadata.namespace}/${metadata.name} is not in the input: taken to have listeners for every host on 80 and 443`,
    );
  }
  const input: GatewayInput = {
    gateways: [...gateways, ...made],
    gatewayClasses: anyClass([...gateways, ...made]),
    listenerSets: all("ListenerSet"),
    httpRoutes: routes,
    grpcRoutes: all("GRPCRoute"),
    tlsRoutes: all("TLSRoute"),
    tcpRoutes: all("TCPRoute"),
    udpRoutes: all("UDPRoute"),
    referenceGrants: all("ReferenceGrant"),
    backendTlsPolicies: all("BackendTLSPolicy"),
    namespaces: all("Namespace"),
    ...(services && { services }),
    // Of a Gateway that is not there, nobody knows the certificates.
    ...(secrets && made.length === 0 && { secrets }),
  };
  const state = gatewayState(input, { controllerName: CONTROLLER });
  warnings.push(...routeWarnings(routes, state.statuses));
  const doors = new Map<string, GatewayDoor>();
  for (const gateway of input.gateways) {
    const key = objectKey(gateway);
    const rules = state.gateways.get(key);
    if (rules === undefined) continue;
    doors.set(key, { rules, gateway, routes: routes.filter((route) => attaches(route, key)) });
  }
  return {
    ...(served.claimed.length > 0 && {
      ingress: {
        rules: served,
        ingresses: served.claimed,
        dialect: options.ingressAs,
        configMaps: all("ConfigMap"),
      },
    }),
    gateways: doors,
    warnings,
  };
}

/** Objects without a namespace are in the one that kubectl would put them into. */
function withNamespace(object: KubeObject): KubeObject {
  if (object.metadata.namespace !== undefined || !isNamespaced(object.kind)) return object;
  return { ...object, metadata: { ...object.metadata, namespace: "default" } };
}

function findingText({ ingress, field, message }: IngressFinding): string {
  return `Ingress ${ingress.namespace}/${ingress.name}: ${field} ${message}`;
}

/** The classes of the input; with the one of ingress-nginx, where they do not have it. */
function withClass(classes: readonly IngressClass[], name: string): readonly IngressClass[] {
  if (classes.some(({ metadata }) => metadata.name === name)) return classes;
  return [
    ...classes,
    {
      apiVersion: "networking.k8s.io/v1",
      kind: "IngressClass",
      metadata: { name, annotations: { [DEFAULT_CLASS_ANNOTATION]: "false" } },
      spec: { controller: NGINX },
    },
  ];
}

/** Whoever may implement a Gateway's class: what is asked is what the objects mean. */
function anyClass(gateways: readonly Gateway[]): readonly GatewayClass[] {
  return [...new Set(gateways.map(({ spec }) => spec.gatewayClassName))].map((name) => ({
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "GatewayClass",
    metadata: { name },
    spec: { controllerName: CONTROLLER },
  }));
}

/** Gateways that routes name and the input lacks. */
function impliedGateways(
  gateways: readonly Gateway[],
  routes: readonly HTTPRoute[],
): readonly Gateway[] {
  const there = new Set(gateways.map(objectKey));
  const named = routes.flatMap((route) => [...parentGateways(route)]);
  return [...new Set(named)]
    .filter((key) => !there.has(key))
    .map((key): Gateway => {
      const slash = key.indexOf("/");
      const from = { namespaces: { from: "All" } } as const;
      return {
        apiVersion: "gateway.networking.k8s.io/v1",
        kind: "Gateway",
        metadata: { namespace: key.slice(0, slash), name: key.slice(slash + 1) },
        spec: {
          gatewayClassName: "implied",
          listeners: [
            { name: "http", port: 80, protocol: "HTTP", allowedRoutes: from },
            {
              name: "https",
              port: 443,
              protocol: "HTTPS",
              allowedRoutes: from,
              tls: { certificateRefs: [{ name: "implied" }] },
            },
          ],
        },
      };
    });
}

function* parentGateways({ metadata, spec }: HTTPRoute): Generator<string, void, undefined> {
  for (const { kind = "Gateway", name, namespace } of spec.parentRefs ?? []) {
    if (kind === "Gateway") yield `${namespace ?? metadata.namespace ?? "default"}/${name}`;
  }
}

function attaches(route: HTTPRoute, gateway: string): boolean {
  const others = (route.spec.parentRefs ?? []).some(({ kind = "Gateway" }) => kind !== "Gateway");
  return others || [...parentGateways(route)].includes(gateway);
}

function routeWarnings(
  routes: readonly HTTPRoute[],
  statuses: ReturnType<typeof gatewayState>["statuses"],
): string[] {
  return routes.flatMap((route) => {
    const name = `HTTPRoute ${objectKey(route)}`;
    const status = statuses.get(name) as HTTPRoute["status"];
    if (status === undefined) {
      return [`${name} has no parent among the Gateways of the input, so it routes nothing`];
    }
    return (status.parents ?? []).flatMap(({ conditions }) =>
      conditions
        .filter((condition) => condition.status === "False")
        .map(({ type, reason, message }) => `${name}: ${type}=False (${reason}): ${message}`),
    );
  });
}
