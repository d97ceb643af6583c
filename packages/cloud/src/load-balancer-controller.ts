import {
  type ApiClient,
  type Clock,
  type EventSink,
  objectKey,
  type Service,
  type Timer,
  type WatchEvent,
} from "@cnilab/core";
import { formatIp, type IpAddress, tryParseIp } from "@cnilab/net";
import type { Subscription } from "rxjs";
import { AddressPoolError, type AddressPools } from "./address-pools.ts";
import type { LoadBalancerDataplane } from "./load-balancer-dataplane.ts";
import { requestedAddresses } from "./requested-addresses.ts";

/** A reason and a message; `undefined` where the real one says nothing. */
export type EventText = readonly [reason: string, message: string] | undefined;

/** What a provider tells people by Events on the Service. */
export interface ProviderEvents {
  readonly ensuring: EventText;
  readonly ensured: (addresses: readonly IpAddress[]) => EventText;
  /** A Warning. */
  readonly failed: (key: string, why: string) => readonly [reason: string, message: string];
  readonly deleting: EventText;
  readonly deleted: EventText;
}

export interface LoadBalancerControllerOptions {
  readonly api: ApiClient;
  readonly clock: Clock;
  readonly events: EventSink;
  /** Asked once, when the first Service is served. */
  readonly pools: () => AddressPools;
  readonly dataplane: LoadBalancerDataplane;
  readonly says: ProviderEvents;
  /** Virtual milliseconds from the wish to the address, and from a change to its effect. */
  readonly latencyMs: number;
  /** After a failure: virtual milliseconds to the first further attempt; each next one waits twice as long, to 5 minutes. */
  readonly retryMs: number | undefined;
  /** Only Services of this class; where it is `undefined`, only those that name none. */
  readonly loadBalancerClass: string | undefined;
}

/** What was made for a Service. */
interface Made {
  readonly addresses: readonly IpAddress[];
  /** The part of the Service that it was made from. */
  readonly from: string;
}

/** Attempts that failed one after the other. */
interface Failures {
  readonly count: number;
  /** The part of the Service that could not be done. */
  readonly from: string;
}

const LONGEST_RETRY_MS = 300_000;

/**
 * Gives each Service of type LoadBalancer its addresses, and writes them into its status
 * (k8s.io/cloud-provider controllers/service; MetalLB controller/service.go).
 */
export class LoadBalancerController {
  readonly #options: LoadBalancerControllerOptions;
  readonly #made = new Map<string, Made>();
  /** Services that wait, and for what. */
  readonly #due = new Map<string, Timer>();
  readonly #failures = new Map<string, Failures>();
  #subscription: Subscription | undefined;
  #addressPools: AddressPools | undefined;

  constructor(options: LoadBalancerControllerOptions) {
    this.#options = options;
  }

  /** Services that have their addresses now, by `namespace/name`. */
  get addresses(): ReadonlyMap<string, readonly IpAddress[]> {
    return new Map([...this.#made].map(([key, { addresses }]) => [key, addresses]));
  }

  get #pools(): AddressPools {
    this.#addressPools ??= this.#options.pools();
    return this.#addressPools;
  }

  start(): void {
    this.#subscription ??= this.#options.api.watch("Service").subscribe((e) => this.#seen(e));
  }

  /** What was made stays. */
  stop(): void {
    this.#subscription?.unsubscribe();
    this.#subscription = undefined;
    for (const timer of this.#due.values()) timer.cancel();
    this.#due.clear();
  }

  #seen({ type, object }: WatchEvent<Service>): void {
    const key = objectKey(object);
    const wanted = type !== "DELETED" && this.#wants(object);
    if (!wanted) {
      if (this.#made.has(key) || this.#due.has(key)) this.#remove(key, object, type !== "DELETED");
      return;
    }
    const made = this.#made.get(key);
    if (made === undefined && this.#adopts(key, object)) return;
    const failures = this.#failures.get(key);
    const now = asked(object);
    if (made?.from === now || failures?.from === now) return;
    if (failures === undefined && this.#due.has(key)) return;
    this.#tell(object, this.#options.says.ensuring);
    this.#later(key, this.#options.latencyMs, false);
  }

  #wants({ spec }: Service): boolean {
    return (
      spec.type === "LoadBalancer" && spec.loadBalancerClass === this.#options.loadBalancerClass
    );
  }

  /** A Service that brings an address along got it from somebody like this provider. */
  #adopts(key: string, service: Service): boolean {
    const given = ingressAddresses(service);
    if (given.length === 0) return false;
    const addresses = this.#pools.adopt(key, given);
    if (addresses.length < given.length) {
      this.#pools.release(key);
      return false;
    }
    this.#make(key, service, addresses);
    return true;
  }

  #later(key: string, delayMs: number, background: boolean): void {
    this.#due.get(key)?.cancel();
    const { clock } = this.#options;
    const task = () => {
      this.#due.delete(key);
      this.#ensure(key);
    };
    this.#due.set(key, clock.schedule(delayMs, task, { background }));
  }

  #ensure(key: string): void {
    const { api, says, retryMs } = this.#options;
    const service = api.get("Service", key);
    if (service === undefined) return;
    try {
      this.#make(key, service, this.#allocate(key, service));
    } catch (error) {
      if (!(error instanceof AddressPoolError)) throw error;
      const [reason, message] = says.failed(key, error.message);
      this.#options.events.record(service, "Warning", reason, message);
      const count = (this.#failures.get(key)?.count ?? 0) + 1;
      this.#failures.set(key, { count, from: asked(service) });
      if (retryMs !== undefined) {
        this.#later(key, Math.min(retryMs * 2 ** (count - 1), LONGEST_RETRY_MS), true);
      }
      return;
    }
    this.#failures.delete(key);
    const addresses = this.#made.get(key)?.addresses ?? [];
    this.#writeStatus(key, addresses);
    this.#tell(service, says.ensured(addresses));
  }

  #allocate(key: string, service: Service): readonly IpAddress[] {
    const pools = this.#pools;
    const { families, addresses, pool } = requestedAddresses(service);
    if (addresses.length > 0) return pools.take(key, addresses, pool);
    const held = pools.heldBy(key);
    return held.length === families.length ? held : pools.allocate(key, families, pool);
  }

  #make(key: string, service: Service, addresses: readonly IpAddress[]): void {
    try {
      this.#options.dataplane.program(service, addresses);
    } catch (error) {
      if (!this.#made.has(key)) this.#pools.release(key);
      throw error;
    }
    this.#made.set(key, { addresses, from: asked(service) });
  }

  /** @param there whether the Service is still there, as another type */
  #remove(key: string, service: Service, there: boolean): void {
    const { says, dataplane } = this.#options;
    this.#due.get(key)?.cancel();
    this.#due.delete(key);
    this.#failures.delete(key);
    if (!this.#made.delete(key)) return;
    this.#tell(service, says.deleting);
    dataplane.remove(key);
    this.#pools.release(key);
    if (there) this.#writeStatus(key, []);
    this.#tell(service, says.deleted);
    if (this.#options.retryMs === undefined) this.#retryFailed();
  }

  /** An address is free again: who went away with nothing may have it. */
  #retryFailed(): void {
    for (const key of this.#failures.keys()) this.#later(key, 0, false);
  }

  #writeStatus(key: string, addresses: readonly IpAddress[]): void {
    const { api, dataplane } = this.#options;
    const ingress = addresses.map((a) => ({ ip: formatIp(a), ipMode: dataplane.ipMode }));
    api.update("Service", key, (service) => {
      const same = JSON.stringify(service.status?.loadBalancer?.ingress ?? []);
      if (same === JSON.stringify(ingress)) return service;
      return { ...service, status: { ...service.status, loadBalancer: { ingress } } };
    });
  }

  #tell(service: Service, text: EventText): void {
    if (text !== undefined) this.#options.events.record(service, "Normal", ...text);
  }
}

function ingressAddresses({ status }: Service): IpAddress[] {
  return (status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => tryParseIp(ip ?? "") ?? []);
}

/** What of a Service a load balancer is made from. */
function asked({ metadata, spec }: Service): string {
  return JSON.stringify([
    spec.ports,
    spec.ipFamilies,
    spec.loadBalancerIP,
    spec.loadBalancerSourceRanges,
    spec.externalTrafficPolicy,
    spec.healthCheckNodePort,
    Object.entries(metadata.annotations ?? {}).filter(([name]) => name.startsWith("metallb")),
  ]);
}
