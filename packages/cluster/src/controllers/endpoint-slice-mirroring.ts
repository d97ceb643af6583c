import {
  type ApiClient,
  type Clock,
  type Endpoint,
  type EndpointPort,
  type EndpointSlice,
  type EndpointsAddress,
  objectKey,
} from "@cnilab/core";
import { Subscription } from "rxjs";
import { canonicalJson } from "../api/name-suffix.ts";
import { MANAGED_BY_LABEL, SERVICE_NAME_LABEL } from "./endpoint-slice.ts";
import { controllerReference } from "./owner.ts";
import { generatedName } from "./pod-template.ts";
import { WorkQueue } from "./work-queue.ts";

export const MIRRORING_CONTROLLER = "endpointslicemirroring-controller.k8s.io";

/** Most addresses that one subset has mirrored (`--mirroring-max-endpoints-per-subset`). */
const MOST_ADDRESSES = 1000;

/**
 * Turns Endpoints that people wrote for Services without a selector into EndpointSlices
 * (kube-controller-manager pkg/controller/endpointslicemirroring): one a subset and family.
 */
export class EndpointSliceMirroringController {
  readonly #api: ApiClient;
  readonly #queue: WorkQueue<string>;
  readonly #made = new Map<string, EndpointSlice[]>();

  constructor(api: ApiClient, clock: Clock) {
    this.#api = api;
    this.#queue = new WorkQueue(clock, (key) => this.#reconcile(key));
  }

  start(): Subscription {
    const subscription = new Subscription();
    for (const kind of ["Endpoints", "Service"] as const) {
      subscription.add(
        this.#api.watch(kind).subscribe(({ object }) => this.#queue.add(objectKey(object))),
      );
    }
    return subscription;
  }

  #reconcile(key: string): void {
    const endpoints = this.#api.get("Endpoints", key);
    const service = this.#api.get("Service", key);
    const mirrored =
      endpoints !== undefined && service !== undefined && service.spec.selector === undefined;
    const wanted = mirrored ? (endpoints.subsets ?? []).flatMap(slicesOf) : [];
    const had = this.#made.get(key) ?? [];
    const unchanged =
      had.length === wanted.length &&
      wanted.every(
        (w, i) => canonicalJson(w) === canonicalJson(contentOf(had[i] as EndpointSlice)),
      );
    if (unchanged) return;
    for (const slice of had) this.#api.delete("EndpointSlice", objectKey(slice));
    this.#made.delete(key);
    if (!mirrored) return;
    const { name, namespace } = endpoints.metadata;
    let number = 0;
    const made = wanted.map((content) => {
      const generated = generatedName(
        this.#api,
        "EndpointSlice",
        namespace as string,
        `${name}-`,
        number,
      );
      number = generated.next;
      return this.#api.create<"EndpointSlice">({
        apiVersion: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        metadata: {
          name: generated.name,
          namespace: namespace as string,
          labels: {
            ...endpoints.metadata.labels,
            [SERVICE_NAME_LABEL]: name,
            [MANAGED_BY_LABEL]: MIRRORING_CONTROLLER,
          },
          ownerReferences: [controllerReference(endpoints)],
        },
        ...content,
      });
    });
    this.#made.set(key, made);
  }
}

type Content = Pick<EndpointSlice, "addressType" | "ports" | "endpoints">;

function contentOf({ addressType, ports, endpoints }: EndpointSlice): Content {
  return { addressType, ...(ports === undefined ? {} : { ports }), endpoints };
}

function slicesOf(subset: {
  readonly addresses?: readonly EndpointsAddress[];
  readonly notReadyAddresses?: readonly EndpointsAddress[];
  readonly ports?: readonly EndpointPort[];
}): Content[] {
  const all = [
    ...(subset.addresses ?? []).map((a) => mirror(a, true)),
    ...(subset.notReadyAddresses ?? []).map((a) => mirror(a, false)),
  ].slice(0, MOST_ADDRESSES);
  const ports = (subset.ports ?? []).map((p) => ({
    ...p,
    name: p.name ?? "",
    protocol: p.protocol ?? ("TCP" as const),
  }));
  return (["IPv4", "IPv6"] as const).flatMap((addressType) => {
    const isIpv6 = addressType === "IPv6";
    const endpoints = all.filter(({ addresses }) => addresses[0]?.includes(":") === isIpv6);
    return endpoints.length === 0 ? [] : [{ addressType, ports, endpoints }];
  });
}

function mirror({ ip, hostname, nodeName, targetRef }: EndpointsAddress, ready: boolean): Endpoint {
  return {
    addresses: [ip],
    conditions: { ready },
    ...(hostname === undefined ? {} : { hostname }),
    ...(nodeName === undefined ? {} : { nodeName }),
    ...(targetRef === undefined ? {} : { targetRef }),
  };
}
