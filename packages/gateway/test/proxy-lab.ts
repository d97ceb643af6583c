import {
  type ApiClient,
  type EndpointSlice,
  type KubeObject,
  objectKey,
  type Secret,
  SeededRandom,
  type Service,
  VirtualClock,
  type WatchEvent,
} from "@cnilab/core";
import {
  HttpClientConnection,
  HttpFailure,
  HttpRequest,
  type HttpRequestParts,
  type HttpResponse,
  Kernel,
  type NetNamespace,
  Network,
  Nic,
  Segment,
  startEchoServer,
} from "@cnilab/linux";
import { IPPROTO_TCP, IPPROTO_UDP, parseIp } from "@cnilab/net";
import { Observable, Subject } from "rxjs";
import { CertificateStore } from "../src/proxy/certificate/certificate-store.ts";
import { EndpointIndex } from "../src/proxy/endpoint-index.ts";
import { ProxyServer } from "../src/proxy/proxy-server.ts";
import { NGINX_SETTINGS, type ProxySettings } from "../src/proxy/proxy-settings.ts";
import type { Forward, RouteBackend } from "../src/routing/decision.ts";
import type { ProxyRules } from "../src/routing/proxy-rules.ts";

/** Objects as a watch tells them, and nothing of an API server's besides. */
export class Objects implements Pick<ApiClient, "get" | "list" | "watch"> {
  readonly #objects = new Map<string, Map<string, KubeObject>>();
  readonly #events = new Map<string, Subject<WatchEvent>>();

  put(object: KubeObject): void {
    const kind = this.#of(object.kind);
    const old = kind.get(objectKey(object));
    kind.set(objectKey(object), object);
    const event: WatchEvent =
      old === undefined ? { type: "ADDED", object } : { type: "MODIFIED", object, old };
    this.#events.get(object.kind)?.next(event);
  }

  get client(): ApiClient {
    return this as unknown as ApiClient;
  }

  get = ((kind: string, key: string) => this.#of(kind).get(key)) as ApiClient["get"];
  list = ((kind: string) => [...this.#of(kind).values()]) as unknown as ApiClient["list"];
  watch = ((kind: string) =>
    new Observable<WatchEvent>((subscriber) => {
      for (const object of this.#of(kind).values()) subscriber.next({ type: "ADDED", object });
      let events = this.#events.get(kind);
      if (events === undefined) {
        events = new Subject();
        this.#events.set(kind, events);
      }
      return events.subscribe(subscriber);
    })) as unknown as ApiClient["watch"];

  #of(kind: string): Map<string, KubeObject> {
    let all = this.#objects.get(kind);
    if (all === undefined) {
      all = new Map();
      this.#objects.set(kind, all);
    }
    return all;
  }
}

/** A client at 10.0.0.1, a proxy at 10.0.0.2 and endpoints from 10.0.0.11 on, on one wire. */
export class ProxyLab {
  readonly clock: VirtualClock = new VirtualClock();
  readonly network: Network;
  readonly objects: Objects = new Objects();
  readonly client: NetNamespace;
  readonly proxy: NetNamespace;
  readonly log: string[] = [];
  /** What names stand for, for Services of type ExternalName. */
  readonly names: Map<string, string> = new Map();
  /** Who was asked something, in order. */
  readonly asked: string[] = [];
  readonly #segment: Segment;

  constructor(seed = 1) {
    this.network = new Network(this.clock, new SeededRandom(seed));
    this.#segment = new Segment(this.network, "lan", 1500);
    this.client = this.host("client", "10.0.0.1");
    this.proxy = this.host("proxy", "10.0.0.2");
  }

  host(name: string, address: string): NetNamespace {
    const { initNs } = new Kernel(this.network, name);
    initNs.loopback.setUp();
    const nic = new Nic(initNs, { name: "eth0", segment: this.#segment });
    nic.setUp();
    nic.addAddress(parseIp(address), 24);
    return initNs;
  }

  /** A Service of port 80 with an echo server on port 8080 of each address; a `!` behind one: nobody listens there. */
  service(name: string, addresses: readonly string[], tls = false): void {
    const ports = [{ name: "http", port: 80, targetPort: tls ? 8443 : 8080 }];
    this.objects.put({
      apiVersion: "v1",
      kind: "Service",
      metadata: { name, namespace: "shop" },
      spec: { selector: { app: name }, ports },
    } as KubeObject as Service);
    const endpoints = addresses.map((text) => {
      const address = text.replace(/[!~]$/, "");
      const known = this.network.kernels.get(address);
      const netns = known?.initNs ?? this.host(address, address);
      if (known === undefined && !text.endsWith("!")) {
        for (const protocol of [IPPROTO_TCP, IPPROTO_UDP]) {
          const owner = `shop/${name}-${address.split(".").at(-1)}/c`;
          startEchoServer(netns, {
            protocol,
            port: tls ? 8443 : 8080,
            owner,
            onRequest: () => this.asked.push(owner),
          });
        }
      }
      return { addresses: [address], conditions: { ready: !text.endsWith("~") } };
    });
    this.objects.put({
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: {
        name: `${name}-1`,
        namespace: "shop",
        labels: { "kubernetes.io/service-name": name },
      },
      addressType: "IPv4",
      ports: [{ name: "http", port: tls ? 8443 : 8080 }],
      endpoints,
    } as KubeObject as EndpointSlice);
  }

  externalName(name: string, externalName: string): void {
    const ports = [{ port: 80, targetPort: 8080 }];
    const metadata = { name, namespace: "shop" };
    const spec = { type: "ExternalName", externalName, ports };
    this.objects.put({ apiVersion: "v1", kind: "Service", metadata, spec } as KubeObject);
  }

  secret(name: string, data: Secret["data"]): void {
    const metadata = { name, namespace: "shop" };
    const secret: Secret = { apiVersion: "v1", kind: "Secret", metadata, ...(data && { data }) };
    this.objects.put(secret);
  }

  /** Starts a proxy with these rules on all their ports. */
  serve(rules: ProxyRules, settings: ProxySettings = NGINX_SETTINGS): ProxyServer {
    const log = (line: string) => {
      this.log.push(line);
    };
    const server = new ProxyServer({
      netns: this.proxy,
      owner: "ingress-nginx/controller/controller",
      clock: this.clock,
      random: new SeededRandom(1),
      settings,
      lookup: (name, _trace, done) => {
        const address = this.names.get(name);
        this.clock.schedule(5, () => done(address === undefined ? [] : [parseIp(address)]));
      },
      endpoints: new EndpointIndex(this.objects.client, [4]),
      certificates: new CertificateStore(this.objects.client, log),
      log,
    });
    server.serve(
      rules.ports.map(({ port, protocol }) => ({
        containerPort: port,
        port,
        protocol,
        rules: () => rules,
      })),
    );
    return server;
  }

  ask(
    parts: HttpRequestParts,
    more: { readonly port?: number; readonly tls?: string } = {},
  ): HttpResponse | HttpFailure {
    let result: HttpResponse | HttpFailure | undefined;
    const options = {
      dst: parseIp("10.0.0.2"),
      port: more.port ?? 80,
      owner: "curl",
      connectTimeoutMs: 100_000,
      ...(more.tls !== undefined && { tls: { serverName: more.tls, verifyHost: more.tls } }),
    };
    HttpClientConnection.open(this.client, options, (opened) => {
      if (opened instanceof HttpFailure) {
        result = opened;
        return;
      }
      opened.ask(new HttpRequest(parts), 100_000, (answer) => {
        opened.close();
        result = answer;
      });
    });
    this.clock.settle();
    if (result === undefined) throw new Error("nothing came of it");
    return result;
  }
}

export function backend(name: string, more: Partial<RouteBackend> = {}): RouteBackend {
  return { namespace: "shop", name, port: 80, weight: 1, protocol: "HTTP", ...more };
}

const RULE = { kind: "Ingress", namespace: "shop", name: "web", field: "spec.rules[0]" };

export function forward(
  backends: readonly RouteBackend[],
  more: Partial<Forward> = {},
): (head: { readonly host: string; readonly path: string }) => Forward {
  return ({ host, path }) => ({
    action: "forward",
    backends,
    host,
    path,
    requestHeaders: [],
    responseHeaders: [],
    mirrors: [],
    rule: RULE,
    why: "the only rule",
    ...more,
  });
}

/** Rules that treat all requests alike. */
export function rules(
  routeRequest: ProxyRules["routeRequest"],
  more: Partial<ProxyRules> = {},
): ProxyRules {
  return {
    ports: [{ port: 80, protocol: "HTTP" }],
    routeConnection: () => ({ action: "http", why: "" }),
    routeRequest,
    ...more,
  };
}
