import {
  type ApiClient,
  type Container,
  type ContainerProgram,
  type GatewayAddress,
  imageName,
  type Kind,
  type KubeObject,
  type NameLookup,
  type ProgramContext,
  type RunningProgram,
  type Service,
  timestamp,
} from "@cnilab/core";
import { HttpResponse, type Kernel, type NetNamespace, startHttpServer } from "@cnilab/linux";
import { withTransitionTimes } from "../gateway-api/conditions.ts";
import type {
  GatewayInput,
  GatewayObjectStatus,
  GatewayState,
} from "../gateway-api/gateway-input.ts";
import { gatewayState } from "../gateway-api/gateway-state.ts";
import { CertificateStore } from "../proxy/certificate/certificate-store.ts";
import { EndpointIndex } from "../proxy/endpoint-index.ts";
import { familiesOf } from "../proxy/families.ts";
import { ProxyServer } from "../proxy/proxy-server.ts";
import { GATEWAY_SETTINGS, type ProxyPort } from "../proxy/proxy-settings.ts";
import { GATEWAY_NAMESPACE, gatewayOf, HEALTH_PORT, servicePorts } from "./gateway-service.ts";
import { SyncLoop } from "./sync-loop.ts";

export const GATEWAY_CONTROLLER_NAME = "cnilab.dev/gateway-controller";
export const GATEWAY_CLASS_NAME = "cnilab";
/** Image of the proxy's pods. */
export const GATEWAY_IMAGE = "cnilab-gateway";

/** Milliseconds that changes are collected for, at least. */
const SYNC_REST_MS = 100;

const KINDS = [
  "GatewayClass",
  "Gateway",
  "ListenerSet",
  "HTTPRoute",
  "GRPCRoute",
  "TLSRoute",
  "TCPRoute",
  "UDPRoute",
  "ReferenceGrant",
  "BackendTLSPolicy",
  "Namespace",
  "Service",
  "Secret",
  "ConfigMap",
] as const satisfies readonly Kind[];

/** Everything that routing depends on, as it is now. */
export function gatewayInput(api: ApiClient): GatewayInput {
  return {
    gatewayClasses: api.list("GatewayClass"),
    gateways: api.list("Gateway"),
    listenerSets: api.list("ListenerSet"),
    httpRoutes: api.list("HTTPRoute"),
    grpcRoutes: api.list("GRPCRoute"),
    tlsRoutes: api.list("TLSRoute"),
    tcpRoutes: api.list("TCPRoute"),
    udpRoutes: api.list("UDPRoute"),
    referenceGrants: api.list("ReferenceGrant"),
    backendTlsPolicies: api.list("BackendTLSPolicy"),
    namespaces: api.list("Namespace"),
    services: api.list("Service"),
    secrets: api.list("Secret"),
    configMaps: api.list("ConfigMap"),
  };
}

/** Services of Gateways, by the Gateway's `namespace/name`. */
export function gatewayServices(api: ApiClient): ReadonlyMap<string, Service> {
  const found = new Map<string, Service>();
  for (const service of api.list("Service", GATEWAY_NAMESPACE)) {
    const gateway = gatewayOf(service);
    if (gateway !== undefined) found.set(gateway, service);
  }
  return found;
}

/** The controller of GatewayClass `cnilab`, and the proxy of all its Gateways, in one container. */
export class GatewayProgram implements ContainerProgram<NetNamespace, Kernel> {
  readonly name = "cnilab-gateway";

  readonly #lookup: () => NameLookup | undefined;

  /** @param lookup how names are looked up, asked when the first container starts */
  constructor(lookup: () => NameLookup | undefined = () => undefined) {
    this.#lookup = lookup;
  }

  runs({ image }: Container): boolean {
    return imageName(image) === GATEWAY_IMAGE;
  }

  start(context: ProgramContext<NetNamespace, Kernel>): RunningProgram {
    return new RunningGatewayController(context, this.#lookup());
  }
}

class RunningGatewayController implements RunningProgram {
  readonly #api: ApiClient;
  readonly #context: ProgramContext<NetNamespace, Kernel>;
  readonly #endpoints: EndpointIndex;
  readonly #server: ProxyServer;
  readonly #health: { close(): void };
  readonly #loop: SyncLoop;
  #state: GatewayState | undefined;

  constructor(context: ProgramContext<NetNamespace, Kernel>, lookup: NameLookup | undefined) {
    const { netns, node, owner, random } = context;
    const { api, clock } = node;
    const log = (line: string) => context.log(line);
    this.#api = api;
    this.#context = context;
    this.#endpoints = new EndpointIndex(api, familiesOf(netns));
    const respond = () => new HttpResponse(200, { "Content-Type": "text/plain" }, "ok");
    this.#health = startHttpServer(netns, { port: HEALTH_PORT, owner, respond });
    this.#server = new ProxyServer({
      netns,
      owner,
      clock,
      random,
      settings: GATEWAY_SETTINGS,
      endpoints: this.#endpoints,
      lookup:
        lookup && ((name, trace, done) => lookup(context as ProgramContext, name, done, trace)),
      certificates: new CertificateStore(api, log),
      log,
    });
    this.#loop = new SyncLoop(api, clock, { kinds: KINDS, restMs: SYNC_REST_MS }, () =>
      this.#sync(),
    );
  }

  stop(): void {
    this.#loop.stop();
    this.#server.stop();
    this.#health.close();
    this.#endpoints.stop();
  }

  #sync(): void {
    const services = gatewayServices(this.#api);
    const addresses = new Map([...services].map(([key, s]) => [key, addressesOf(s)] as const));
    const options = { controllerName: GATEWAY_CONTROLLER_NAME, addresses };
    const state = gatewayState(gatewayInput(this.#api), options);
    this.#state = state;
    const open: ProxyPort[] = [];
    for (const [key, rules] of state.gateways) {
      const service = services.get(key);
      if (service === undefined) continue;
      this.#writePorts(service, servicePorts(rules.ports, othersOf(services, key), service));
      const now = this.#api.get("Service", `${GATEWAY_NAMESPACE}/${service.metadata.name}`);
      for (const { port, protocol } of rules.ports) {
        const transport = protocol === "UDP" ? "UDP" : "TCP";
        const containerPort = now?.spec.ports?.find(
          (p) => p.port === port && (p.protocol ?? "TCP") === transport,
        )?.targetPort;
        if (typeof containerPort !== "number") continue;
        const current = () => this.#state?.gateways.get(key) ?? rules;
        open.push({ containerPort, port, protocol, rules: current });
      }
    }
    this.#server.serve(open);
    this.#writeStatuses(state.statuses);
  }

  #writePorts(service: Service, ports: NonNullable<Service["spec"]["ports"]>): void {
    const key = `${GATEWAY_NAMESPACE}/${service.metadata.name}`;
    this.#api.update("Service", key, (now) => {
      const same =
        now.spec.ports?.length === ports.length &&
        ports.every((p) => now.spec.ports?.some((q) => samePort(p, q)));
      return same || ports.length === 0 ? now : { ...now, spec: { ...now.spec, ports } };
    });
  }

  /** By `Kind namespace/name`. */
  #writeStatuses(statuses: ReadonlyMap<string, GatewayObjectStatus>): void {
    const now = timestamp(this.#context.node.clock.now);
    for (const [id, status] of statuses) {
      const [kind, key] = id.split(" ") as [(typeof KINDS)[number], string];
      this.#api.update(kind, key, (object) => {
        const before = (object as { readonly status?: GatewayObjectStatus }).status;
        const timed = withTransitionTimes(status, before, now);
        if (JSON.stringify(timed) === JSON.stringify(before)) return object;
        return { ...(object as KubeObject), status: timed } as typeof object;
      });
    }
  }
}

function samePort(
  x: NonNullable<Service["spec"]["ports"]>[number],
  y: NonNullable<Service["spec"]["ports"]>[number],
): boolean {
  return (
    x.port === y.port &&
    (x.protocol ?? "TCP") === (y.protocol ?? "TCP") &&
    x.targetPort === y.targetPort
  );
}

export function othersOf(services: ReadonlyMap<string, Service>, key: string): Service[] {
  return [...services].filter(([other]) => other !== key).map(([, service]) => service);
}

function addressesOf({ status }: Service): GatewayAddress[] {
  return (status?.loadBalancer?.ingress ?? []).flatMap(({ ip, hostname }) => {
    if (ip !== undefined) return [{ type: "IPAddress", value: ip }];
    return hostname === undefined ? [] : [{ type: "Hostname", value: hostname }];
  });
}
