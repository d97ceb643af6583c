import type { Container, KubeObject, PodSpec, Service, ServicePort } from "@cnilab/core";
import { type Workload, workloads } from "../connections/workloads.ts";
import { KUBERNETES_POLICIES, type PolicyReader } from "../policy/policy-reader.ts";
import { Services } from "./services.ts";

/** A Service that a workload's own manifest says it calls. */
export interface Call {
  readonly from: Workload;
  readonly service: Service;
  readonly port: ServicePort;
  /** Where it is said: `env CART_SERVICE_ADDR of container server`. */
  readonly said: string;
}

/** A name with a port that looks like a Service's, and no Service has it. */
export interface DanglingCall {
  readonly from: Workload;
  /** `cart:7070` */
  readonly target: string;
  readonly said: string;
}

export interface Intent {
  readonly workloads: readonly Workload[];
  readonly services: Services;
  readonly calls: readonly Call[];
  readonly dangling: readonly DanglingCall[];
}

/**
 * The calls that an application makes, as far as its manifests say: addresses in environment variables, commands and
 * arguments (`cartservice:7070`, `http://cart.shop/`), also where host and port are two variables (`DB_HOST`, `DB_PORT`).
 */
export function inferIntent(
  objects: readonly KubeObject[],
  reader: PolicyReader = KUBERNETES_POLICIES,
): Intent {
  const all = workloads(objects, reader.read(objects).endpoint);
  const services = new Services(objects, all);
  const calls = new Map<string, Call>();
  const dangling = new Map<string, DanglingCall>();
  for (const from of all) {
    for (const { host, port, said } of from.specs.flatMap(targets)) {
      const service = services.find(host, from.namespace);
      const name = `${from.namespace}/${from.name}[${from.kind}]`;
      const servicePort = service && portOf(service, port);
      if (service !== undefined && servicePort !== undefined) {
        const key = `${name} ${service.metadata.namespace}/${service.metadata.name} ${servicePort.port}`;
        if (!calls.has(key)) calls.set(key, { from, service, port: servicePort, said });
      } else if (port !== undefined && looksLikeService(host, services)) {
        const target = `${host}:${port}`;
        dangling.set(`${name} ${target}`, { from, target, said });
      }
    }
  }
  return { workloads: all, services, calls: [...calls.values()], dangling: [...dangling.values()] };
}

interface Target {
  readonly host: string;
  readonly port: number | undefined;
  readonly said: string;
}

/** `host:port`, or a URL; no user, path or query. */
const ADDRESS =
  /(?:\b([a-z][a-z0-9+.-]*):\/\/(?:[^\s/@]*@)?)?\b([a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*)(?::([0-9]{1,5}))?/gi;

/** What a URL means that says no port. */
const DEFAULT_PORTS: Readonly<Record<string, number>> = {
  http: 80,
  ws: 80,
  grpc: 80,
  https: 443,
  wss: 443,
  redis: 6379,
  postgres: 5432,
  postgresql: 5432,
  mysql: 3306,
  mongodb: 27017,
  amqp: 5672,
  nats: 4222,
};

function targets({ containers, initContainers = [] }: PodSpec): readonly Target[] {
  return [...initContainers, ...containers].flatMap((container) => [
    ...texts(container).flatMap(({ text, said }) => addressesIn(text, said)),
    ...hostAndPort(container),
  ]);
}

function texts({ name, env = [], command = [], args = [] }: Container): readonly {
  readonly text: string;
  readonly said: string;
}[] {
  return [
    ...env.map((each) => ({
      text: each.value ?? "",
      said: `env ${each.name} of container ${name}`,
    })),
    ...command.map((text) => ({ text, said: `command of container ${name}` })),
    ...args.map((text) => ({ text, said: `arguments of container ${name}` })),
  ];
}

function addressesIn(text: string, said: string): readonly Target[] {
  return [...text.matchAll(ADDRESS)].flatMap(([, scheme, host = "", port]) => {
    if (!/[a-z]/i.test(host)) return [];
    const number = port === undefined ? DEFAULT_PORTS[scheme?.toLowerCase() ?? ""] : Number(port);
    // A lone word is an address only with a scheme or a port.
    if (number === undefined && scheme === undefined) return [];
    return [{ host: host.toLowerCase(), port: number, said }];
  });
}

/** `DB_HOST=db` beside `DB_PORT=5432`, or alone. */
function hostAndPort({ name, env = [] }: Container): readonly Target[] {
  const values = new Map(env.map((each) => [each.name, each.value ?? ""]));
  return env.flatMap(({ name: variable, value = "" }) => {
    const [, prefix] =
      /^(.*?)_?(?:HOST|HOSTNAME|SERVER|ADDR|ADDRESS|SERVICE)$/i.exec(variable) ?? [];
    if (prefix === undefined || !/^[a-z0-9.-]+$/i.test(value)) return [];
    const port = values.get(`${prefix}_PORT`) ?? values.get(`${variable}_PORT`);
    const number = port !== undefined && /^[0-9]{1,5}$/.test(port) ? Number(port) : undefined;
    return [
      { host: value.toLowerCase(), port: number, said: `env ${variable} of container ${name}` },
    ];
  });
}

/** The Service's port of that number; its only one where no number is said. */
function portOf(
  { spec: { ports = [] } }: Service,
  port: number | undefined,
): ServicePort | undefined {
  if (port !== undefined) return ports.find((each) => each.port === port);
  return ports.length === 1 ? ports[0] : undefined;
}

/** A plain word, or a name in a namespace that is there: not `github.com:443`. */
function looksLikeService(host: string, services: Services): boolean {
  if (host === "localhost") return false;
  const [, namespace, svc] = host.split(".");
  if (namespace === undefined || svc === "svc") return true;
  const namespaces = [...services].map(({ metadata }) => metadata.namespace ?? "default");
  return svc === undefined && namespaces.includes(namespace);
}
