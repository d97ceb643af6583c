import { type EndpointSlice, objectKey, type Service, type Snapshot } from "@cnilab/core";
import type { IpFamily } from "@cnilab/net";
import {
  endpointPortKey,
  endpointsByPort,
  type ProxyEndpoint,
  serviceOfSlice,
} from "./endpoint.ts";
import { dependsOnNode } from "./endpoint-categories.ts";
import { type ServicePort, servicePorts } from "./service-port.ts";

/** A service port with its endpoints. The same object as long as neither changes. */
export interface ProxiedPort {
  readonly port: ServicePort;
  /** All endpoints, also such as are not ready; sorted by text. */
  readonly endpoints: readonly ProxyEndpoint[];
  /** Whether nodes use different endpoints of it. */
  readonly dependsOnNode: boolean;
}

/** Everything that kube-proxy programs in one family, at one moment. Immutable; shared by all nodes. */
export interface ServiceState {
  readonly family: IpFamily;
  /** By namespace and name of the Service. */
  readonly ports: readonly ProxiedPort[];
  readonly dependingOnNode: readonly ProxiedPort[];
  readonly withSourceRanges: readonly ProxiedPort[];
  readonly endpointCount: number;
}

interface Entry {
  readonly service: Service;
  readonly slices: readonly EndpointSlice[];
  readonly ports: readonly ProxiedPort[];
}

const NO_SLICES: readonly EndpointSlice[] = [];

/**
 * Turns snapshots into states. All nodes that see one pair of snapshots get one state, a Service that
 * did not change keeps its entries from one state to the next, and where nothing changed in this
 * family, the state stays the same object.
 */
export class ServiceStates {
  readonly #family: IpFamily;
  readonly #made = new WeakMap<Snapshot<Service>, WeakMap<Snapshot<EndpointSlice>, ServiceState>>();
  readonly #slicesByService = new WeakMap<
    Snapshot<EndpointSlice>,
    ReadonlyMap<string, readonly EndpointSlice[]>
  >();
  #entries: ReadonlyMap<string, Entry> = new Map();
  #last: ServiceState | undefined;

  constructor(family: IpFamily) {
    this.#family = family;
  }

  of(services: Snapshot<Service>, slices: Snapshot<EndpointSlice>): ServiceState {
    let bySlices = this.#made.get(services);
    if (bySlices === undefined) {
      bySlices = new WeakMap();
      this.#made.set(services, bySlices);
    }
    let state = bySlices.get(slices);
    if (state === undefined) {
      state = this.#make(services, this.#grouped(slices));
      bySlices.set(slices, state);
    }
    return state;
  }

  #make(
    services: Snapshot<Service>,
    slices: ReadonlyMap<string, readonly EndpointSlice[]>,
  ): ServiceState {
    const entries = new Map<string, Entry>();
    for (const service of services.objects.values()) {
      const key = objectKey(service);
      const own = slices.get(key) ?? NO_SLICES;
      const known = this.#entries.get(key);
      const same = known !== undefined && known.service === service && sameItems(known.slices, own);
      entries.set(key, same ? known : this.#entry(service, own));
    }
    this.#entries = entries;
    const ports = [...entries.keys()].sort().flatMap((key) => entries.get(key)?.ports ?? []);
    if (this.#last !== undefined && sameItems(this.#last.ports, ports)) return this.#last;
    this.#last = {
      family: this.#family,
      ports,
      dependingOnNode: ports.filter((p) => p.dependsOnNode),
      withSourceRanges: ports.filter((p) => p.port.sourceRanges.length > 0),
      endpointCount: ports.reduce((sum, p) => sum + p.endpoints.length, 0),
    };
    return this.#last;
  }

  #entry(service: Service, slices: readonly EndpointSlice[]): Entry {
    const byPort = endpointsByPort(slices, this.#family);
    const ports = servicePorts(service, this.#family).map((port) => {
      const endpoints = byPort.get(endpointPortKey(port.portName, port.protocol)) ?? [];
      return { port, endpoints, dependsOnNode: dependsOnNode(port, endpoints) };
    });
    return { service, slices, ports };
  }

  /** Slices by the Service they belong to, each list sorted by name. */
  #grouped(snapshot: Snapshot<EndpointSlice>): ReadonlyMap<string, readonly EndpointSlice[]> {
    const known = this.#slicesByService.get(snapshot);
    if (known !== undefined) return known;
    const grouped = new Map<string, EndpointSlice[]>();
    for (const slice of snapshot.objects.values()) {
      const service = serviceOfSlice(slice);
      if (service === undefined) continue;
      const slices = grouped.get(service);
      if (slices === undefined) grouped.set(service, [slice]);
      else slices.push(slice);
    }
    for (const slices of grouped.values()) {
      if (slices.length > 1) slices.sort((x, y) => (x.metadata.name < y.metadata.name ? -1 : 1));
    }
    this.#slicesByService.set(snapshot, grouped);
    return grouped;
  }
}

function sameItems<T>(x: readonly T[], y: readonly T[]): boolean {
  return x.length === y.length && x.every((item, i) => item === y[i]);
}
