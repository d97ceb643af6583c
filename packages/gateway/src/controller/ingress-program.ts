import {
  type ApiClient,
  type Container,
  type ContainerProgram,
  type Ingress,
  imageName,
  type LoadBalancerIngress,
  type NameLookup,
  objectKey,
  type Pod,
  type ProgramContext,
  type RunningProgram,
} from "@cnilab/core";
import { HttpResponse, type Kernel, type NetNamespace, startHttpServer } from "@cnilab/linux";
import type {
  IngressControllerOptions,
  IngressInput,
  IngressRules,
} from "../ingress/ingress-input.ts";
import { ingressRules } from "../ingress/ingress-rules.ts";
import { CertificateStore } from "../proxy/certificate/certificate-store.ts";
import { EndpointIndex } from "../proxy/endpoint-index.ts";
import { familiesOf } from "../proxy/families.ts";
import { ProxyServer } from "../proxy/proxy-server.ts";
import { NGINX_SETTINGS } from "../proxy/proxy-settings.ts";
import { SyncLoop } from "./sync-loop.ts";

/** `--sync-rate-limit` is 0.3 a second. */
const SYNC_REST_MS = 3334;
const HEALTH_PORT = 10_254;

/** What of the controller's flags counts here. */
export interface IngressFlags extends IngressControllerOptions {
  /** `--publish-service`: whose addresses are written into the status; those of the pod's node where it is absent. */
  readonly publishService?: string;
  /** `--watch-namespace`; all where it is absent. */
  readonly watchNamespace?: string;
}

/** Whether a container runs ingress-nginx's controller: `…/ingress-nginx/controller:v1.14.0`. */
export function runsIngressNginx({ image }: Container): boolean {
  if (imageName(image).startsWith("nginx-ingress-controller")) return true;
  return imageName(image) === "controller" && (image ?? "").includes("ingress-nginx/");
}

/** ingress-nginx: nginx and its controller in one container. */
export class IngressProgram implements ContainerProgram<NetNamespace, Kernel> {
  readonly name = "ingress-nginx";

  readonly #lookup: () => NameLookup | undefined;

  /** @param lookup how names are looked up, asked when the first container starts */
  constructor(lookup: () => NameLookup | undefined = () => undefined) {
    this.#lookup = lookup;
  }

  runs(container: Container): boolean {
    return runsIngressNginx(container);
  }

  start(context: ProgramContext<NetNamespace, Kernel>): RunningProgram {
    return new RunningIngressController(context, this.#lookup());
  }
}

class RunningIngressController implements RunningProgram {
  readonly #api: ApiClient;
  readonly #pod: Pod;
  readonly #flags: IngressFlags;
  readonly #endpoints: EndpointIndex;
  readonly #server: ProxyServer;
  readonly #health: { close(): void };
  readonly #loop: SyncLoop;
  readonly #log: (line: string) => void;
  #rules: IngressRules | undefined;
  /** What is wrong with Ingresses, as it was logged. */
  #found: ReadonlySet<string> = new Set();

  constructor(context: ProgramContext<NetNamespace, Kernel>, lookup: NameLookup | undefined) {
    const { netns, node, owner, pod, container, random } = context;
    const { api, clock } = node;
    this.#api = api;
    this.#pod = pod;
    this.#log = (line) => context.log(line);
    this.#flags = ingressFlags(container, pod);
    this.#endpoints = new EndpointIndex(api, familiesOf(netns));
    const respond = () => new HttpResponse(200, { "Content-Type": "text/plain" }, "ok");
    this.#health = startHttpServer(netns, { port: HEALTH_PORT, owner, respond });
    this.#server = new ProxyServer({
      netns,
      owner,
      clock,
      random,
      settings: NGINX_SETTINGS,
      endpoints: this.#endpoints,
      lookup:
        lookup && ((name, trace, done) => lookup(context as ProgramContext, name, done, trace)),
      certificates: new CertificateStore(api, this.#log),
      log: this.#log,
    });
    this.#loop = new SyncLoop(
      api,
      clock,
      { kinds: ["Ingress", "IngressClass", "Service", "Secret"], restMs: SYNC_REST_MS },
      () => this.#sync(),
    );
  }

  stop(): void {
    this.#loop.stop();
    this.#server.stop();
    this.#health.close();
    this.#endpoints.stop();
  }

  #sync(): void {
    const rules = ingressRules(ingressInput(this.#api, this.#flags), this.#flags);
    this.#rules = rules;
    const found = new Set(
      rules.findings.map(
        ({ ingress, field, message }) =>
          `Ingress ${ingress.namespace}/${ingress.name} ${field}: ${message}`,
      ),
    );
    for (const line of found) if (!this.#found.has(line)) this.#log(line);
    this.#found = found;
    this.#server.serve(
      rules.ports.map(({ port, protocol }) => ({
        containerPort: port,
        port,
        protocol,
        rules: () => this.#rules ?? rules,
      })),
    );
    this.#writeStatus(rules.claimed);
  }

  #writeStatus(claimed: readonly Ingress[]): void {
    const addresses = this.#addresses().map(({ ip, hostname }) => ({
      ...(ip === undefined ? {} : { ip }),
      ...(hostname === undefined ? {} : { hostname }),
    }));
    for (const each of claimed) {
      this.#api.update("Ingress", objectKey(each), (ingress) => {
        const now = JSON.stringify(ingress.status?.loadBalancer?.ingress ?? []);
        if (now === JSON.stringify(addresses)) return ingress;
        return { ...ingress, status: { loadBalancer: { ingress: addresses } } };
      });
    }
  }

  /** Its Service's addresses; without one to publish, its node's (ingress-nginx `runningAddresses`). */
  #addresses(): readonly LoadBalancerIngress[] {
    const { publishService } = this.#flags;
    if (publishService !== undefined) {
      const service = this.#api.get("Service", publishService);
      const external = (service?.spec.externalIPs ?? []).map((ip) => ({ ip }));
      if (service?.spec.type === "LoadBalancer") {
        return [...(service.status?.loadBalancer?.ingress ?? []), ...external];
      }
      if (external.length > 0) return external;
      return (service?.spec.clusterIPs ?? []).map((ip) => ({ ip }));
    }
    const node = this.#api.get("Node", this.#pod.spec.nodeName ?? "");
    const addresses = node?.status?.addresses ?? [];
    const external = addresses.filter(({ type }) => type === "ExternalIP");
    const internal = addresses.filter(({ type }) => type === "InternalIP");
    return (external.length > 0 ? external : internal).map(({ address }) => ({ ip: address }));
  }
}

/** Everything that a controller with these flags looks at, as it is now. */
export function ingressInput(api: ApiClient, { watchNamespace }: IngressFlags): IngressInput {
  return {
    ingresses: api.list("Ingress", watchNamespace),
    ingressClasses: api.list("IngressClass"),
    services: api.list("Service"),
    secrets: api.list("Secret"),
  };
}

/**
 * Reads `--name=value` out of a container's command.
 * @param pod or what pods are made from; `$(POD_NAMESPACE)` is its namespace
 */
export function ingressFlags(container: Container, pod: Pick<Pod, "metadata">): IngressFlags {
  const words = [...(container.command ?? []), ...(container.args ?? [])];
  const flags = new Map<string, string>();
  for (const word of words) {
    const [, name, value] = /^--([a-z-]+)(?:=(.*))?$/.exec(word) ?? [];
    if (name === undefined) continue;
    const namespace = pod.metadata.namespace ?? "default";
    flags.set(name, (value ?? "true").replaceAll("$(POD_NAMESPACE)", namespace));
  }
  const text = <N extends string>(flag: string, field: N) => {
    const value = flags.get(flag);
    return value === undefined ? {} : { [field]: value };
  };
  return {
    ...text("publish-service", "publishService"),
    ...text("watch-namespace", "watchNamespace"),
    ...text("ingress-class", "ingressClass"),
    ...text("controller-class", "controllerClass"),
    ...(flags.has("watch-ingress-without-class") && {
      watchIngressWithoutClass: flags.get("watch-ingress-without-class") === "true",
    }),
  };
}
