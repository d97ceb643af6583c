import {
  type ApiClient,
  type Gateway,
  type GatewayCondition,
  type Listener,
  type ListenerSet,
  objectKey,
} from "@cnilab/core";
import type { AskedUrl } from "./asked-url.ts";
import { covers } from "./host-pattern.ts";

/** A listener by which the world comes to a Gateway, and what its controller says of it. */
export interface DoorListener {
  readonly spec: Listener;
  /** As `Gateway shop/edge listener http`. */
  readonly text: string;
  readonly namespace: string | undefined;
  /** Why connections are not taken; `undefined` where they are. */
  readonly problem: string | undefined;
}

/** What a listener of a protocol can carry; over TCP anything goes. */
const CARRIES: Readonly<Record<AskedUrl["scheme"], readonly string[]>> = {
  http: ["HTTP", "TCP"],
  https: ["HTTPS", "TLS", "TCP"],
};

/** Those of a Gateway, and of the ListenerSets that name it. */
export function doorListeners(api: ApiClient, gateway: Gateway): DoorListener[] {
  const { namespace, name } = gateway.metadata;
  const sets = api.list("ListenerSet").filter(({ metadata, spec: { parentRef } }) => {
    return parentRef.name === name && (parentRef.namespace ?? metadata.namespace) === namespace;
  });
  return [gateway, ...sets].flatMap(listenersOf);
}

function listenersOf(parent: Gateway | ListenerSet): DoorListener[] {
  const of = `${parent.kind} ${objectKey(parent)}`;
  const refused =
    parent.kind === "ListenerSet" ? failing(parent.status?.conditions, ["Accepted"]) : undefined;
  const { namespace } = parent.metadata;
  return parent.spec.listeners.map((spec) => {
    const text = `${of} listener ${spec.name}`;
    const status = parent.status?.listeners?.find((listener) => listener.name === spec.name);
    const bad = failing(status?.conditions, ["Accepted", "ResolvedRefs", "Programmed"]);
    if (bad !== undefined) return { spec, text, namespace, problem: `${text}: ${bad}` };
    return {
      spec,
      text,
      namespace,
      problem: refused === undefined ? undefined : `${of}: ${refused}`,
    };
  });
}

/** Those that can carry what is asked for, on its port; whichever host they are for. */
export function carrying(
  listeners: readonly DoorListener[],
  { port, scheme }: AskedUrl,
): DoorListener[] {
  return listeners.filter(
    ({ spec }) => spec.port === port && CARRIES[scheme].includes(spec.protocol),
  );
}

/** The one for a host: of several, the one that says most of it. */
export function listenerFor(
  listeners: readonly DoorListener[],
  host: string,
): DoorListener | undefined {
  const weight = ({ spec: { hostname = "" } }: DoorListener) =>
    hostname === "" || hostname.startsWith("*.") ? hostname.length : Number.MAX_SAFE_INTEGER;
  return listeners
    .filter(({ spec: { hostname = "" } }) => hostname === "" || covers(hostname, host, true))
    .sort((x, y) => weight(y) - weight(x))[0];
}

/** The first condition of these types that is not met, with what it says. */
export function failing(
  conditions: readonly GatewayCondition[] | undefined,
  types: readonly string[],
): string | undefined {
  for (const type of types) {
    const bad = conditions?.find((c) => c.type === type && c.status === "False");
    if (bad !== undefined) return `${type} is False, ${bad.reason}: ${bad.message}`;
  }
  return undefined;
}
