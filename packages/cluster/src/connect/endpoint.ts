import { type ApiClient, InputError, type KubeObject, objectKey, type Pod } from "@cnilab/core";
import { type IpAddress, tryParseIp } from "@cnilab/net";
import { controllerUid } from "../controllers/owner.ts";

/** One end of a connection, as a person named it. */
export type Endpoint = {
  /** As it was written, without the port. */
  readonly text: string;
  /** As it was written behind a colon. */
  readonly port?: number | string;
} & (
  | { readonly kind: "pod" | "service"; readonly key: string }
  | { readonly kind: "node"; readonly name: string }
  /** A DNS name, or else the pod of that name in that namespace. */
  | { readonly kind: "name"; readonly name: string; readonly namespace: string }
  | { readonly kind: "address"; readonly address: IpAddress }
  | { readonly kind: "internet" }
);

export interface EndpointScope {
  /** Namespace of names that have none; `default` where it is absent. */
  readonly namespace?: string;
}

/** Words before a slash that say what the name is of. */
const WORKLOADS = {
  deploy: "Deployment",
  deployment: "Deployment",
  sts: "StatefulSet",
  statefulset: "StatefulSet",
  ds: "DaemonSet",
  daemonset: "DaemonSet",
  rs: "ReplicaSet",
  replicaset: "ReplicaSet",
  rc: "ReplicationController",
  job: "Job",
} as const;

type WorkloadWord = keyof typeof WORKLOADS;

/**
 * Reads an endpoint: `ns/pod`, `pod`, `deploy/NAME`, `svc/NAME`, `node/NAME`, `internet`, a DNS name, an
 * address, `[IPv6]`; each may have `:PORT` behind it.
 * @throws InputError where what is named is not there
 */
export function parseEndpoint(api: ApiClient, text: string, scope: EndpointScope = {}): Endpoint {
  const { host, port } = splitPort(text);
  const common = { text: host, ...(port === undefined ? {} : { port }) };
  const namespace = scope.namespace ?? "default";
  if (host === "")
    throw new InputError("an endpoint is empty; name a pod, a Service or an address");
  if (host === "internet") return { ...common, kind: "internet" };
  const address = tryParseIp(host);
  if (address !== undefined) return { ...common, text: host, kind: "address", address };
  const parts = host.split("/");
  const [first, second, third] = parts as [string, string?, string?];
  if (parts.length === 1) {
    checkName(text, host);
    return { ...common, kind: "name", name: host, namespace };
  }
  if (parts.length === 2 && second !== undefined) {
    return { ...common, ...typed(api, host, first, second, namespace, false) };
  }
  if (parts.length === 3 && second !== undefined && third !== undefined) {
    return { ...common, ...typed(api, host, second, third, first, true) };
  }
  throw unknown(text, `is no endpoint; write ${WAYS}`);
}

/** How endpoints are written, for messages. */
const WAYS = "ns/pod, deploy/NAME, svc/NAME, node/NAME, a DNS name or an address";

/** RFC 1123 section 2.1, with the underscore that is met in practice: four numbers are an address, or nothing. */
function checkName(text: string, name: string): void {
  if (/^\d+(\.\d+){3}$/.test(name)) throw unknown(text, "is no IPv4 address");
  if (!/^[a-z0-9_]([-._a-z0-9]*[a-z0-9])?\.?$/i.test(name)) {
    throw unknown(text, `is neither a name nor an address; write ${WAYS}`);
  }
}

type Target =
  | { readonly kind: "pod" | "service"; readonly key: string }
  | { readonly kind: "node"; readonly name: string };

function typed(
  api: ApiClient,
  text: string,
  word: string,
  name: string,
  namespace: string,
  strict: boolean,
): Target {
  const key = `${namespace}/${name}`;
  switch (word) {
    case "svc":
    case "service":
      if (api.get("Service", key) === undefined) throw unknown(text, `there is no Service ${key}`);
      return { kind: "service", key };
    case "node":
      if (api.get("Node", name) === undefined) throw unknown(text, `there is no node ${name}`);
      return { kind: "node", name };
    case "pod":
    case "po":
      return podAt(api, text, key);
    default:
  }
  if (word in WORKLOADS) {
    const kind = WORKLOADS[word as WorkloadWord];
    const workload = api.get(kind, key);
    if (workload === undefined) throw unknown(text, `there is no ${kind} ${key}`);
    const pod = firstPod(api, workload);
    if (pod === undefined) throw unknown(text, `${kind} ${key} has no pod`);
    return { kind: "pod", key: objectKey(pod) };
  }
  if (strict) {
    throw unknown(
      text,
      `"${word}" is no kind that can be named so; write deploy, svc, sts, ds or pod`,
    );
  }
  return podAt(api, text, `${word}/${name}`);
}

function podAt(api: ApiClient, text: string, key: string): Target {
  if (api.get("Pod", key) === undefined) throw unknown(text, `there is no pod ${key}`);
  return { kind: "pod", key };
}

/** The first pod of a workload by name, also through a Deployment's ReplicaSets. */
function firstPod(api: ApiClient, workload: KubeObject): Pod | undefined {
  const { namespace, uid } = workload.metadata;
  const owners = new Set([uid]);
  if (workload.kind === "Deployment") {
    for (const set of api.list("ReplicaSet", namespace)) {
      if (controllerUid(set) === uid) owners.add(set.metadata.uid);
    }
  }
  let first: Pod | undefined;
  for (const pod of api.list("Pod", namespace)) {
    if (!owners.has(controllerUid(pod) ?? "") || pod.metadata.deletionTimestamp !== undefined)
      continue;
    if (first === undefined || pod.metadata.name < first.metadata.name) first = pod;
  }
  return first;
}

/** `HOST:PORT`, `[IPv6]:PORT`, or a host alone. @throws InputError */
function splitPort(text: string): { readonly host: string; readonly port?: number | string } {
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(text);
  if (bracketed !== null) return withPort(bracketed[1] as string, bracketed[2], text);
  const colon = text.indexOf(":");
  // Two colons are an IPv6 address.
  if (colon < 0 || text.includes(":", colon + 1)) return { host: text };
  return withPort(text.slice(0, colon), text.slice(colon + 1), text);
}

function withPort(
  host: string,
  port: string | undefined,
  text: string,
): { readonly host: string; readonly port?: number | string } {
  if (port === undefined) return { host };
  if (/^[0-9]+$/.test(port)) {
    const number = Number(port);
    if (number >= 1 && number <= 65_535) return { host, port: number };
    throw unknown(text, `port ${port} is not between 1 and 65535`);
  }
  if (/^[a-z0-9-]*[a-z][a-z0-9-]*$/.test(port)) return { host, port };
  throw unknown(text, `"${port}" is no port; write a number or the name of a port`);
}

function unknown(text: string, message: string): InputError {
  return new InputError(message, `"${text}"`);
}
