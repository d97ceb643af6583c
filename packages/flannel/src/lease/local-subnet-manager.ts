import type { Clock, Random } from "@cnilab/core";
import { addToIp, type IpAddress, type IpFamily, type Mac, Prefix } from "@cnilab/net";
import {
  type CheckedSubnetRange,
  checkSubnets,
  type NetConf,
  networkOf,
} from "../conf/net-conf.ts";
import { type Lease, type LeaseAttributes, subnetKey } from "./lease.ts";
import { LEASE_TTL_MS, type LeaseStore, storeKey } from "./lease-store.ts";
import { LeaseTable } from "./lease-table.ts";
import { FlanneldError, type LeaseUpdate, type SubnetManager } from "./subnet-manager.ts";

/** Free subnets among which a new one is drawn. */
const CANDIDATES = 100;

export interface LocalSubnetManagerOptions {
  /** Subnets of the last run, out of subnet.env. */
  readonly previous: Readonly<Record<IpFamily, Prefix | undefined>>;
  readonly renewMarginMinutes: number;
  readonly clock: Clock;
  readonly random: Random;
}

/** Leases in etcd, which flanneld takes for itself (pkg/subnet/etcd/local_manager.go). */
export class LocalSubnetManager implements SubnetManager {
  readonly #store: LeaseStore;
  readonly #conf: NetConf;
  readonly #options: LocalSubnetManagerOptions;
  readonly #ranges: Readonly<Record<IpFamily, CheckedSubnetRange | undefined>>;

  /** @throws InputError for subnets that do not fit the network */
  constructor(store: LeaseStore, conf: NetConf, options: LocalSubnetManagerOptions) {
    this.#store = store;
    this.#conf = conf;
    this.#options = options;
    const range = (family: IpFamily) => {
      const network = networkOf(conf, family);
      return network === undefined ? undefined : checkSubnets(network, conf.subnets[family]);
    };
    this.#ranges = { 4: range(4), 6: range(6) };
  }

  acquireLease(attributes: LeaseAttributes): Lease {
    const old = this.#leaseOf(attributes);
    if (old !== undefined) {
      if (this.#fits(old.subnet, 4) && this.#fits(old.ipv6Subnet, 6)) {
        return this.#put(old.subnet, old.ipv6Subnet, attributes);
      }
      this.#store.delete(storeKey(old));
    }
    const { previous } = this.#options;
    const kept = this.#fits(previous[4], 4) && this.#fits(previous[6], 6);
    if (kept && !this.#isTaken(previous[4], 4) && !this.#isTaken(previous[6], 6)) {
      return this.#put(previous[4], previous[6], attributes);
    }
    return this.#put(this.#free(4), this.#free(6), attributes);
  }

  /** etcd has no memory of MACs beyond the lease. */
  storedMac(): Mac | undefined {
    return undefined;
  }

  storedPublicIp(): IpAddress | undefined {
    return undefined;
  }

  watchLeases(report: (update: LeaseUpdate) => void): () => void {
    let table = new LeaseTable(new Map([...this.#store.leases].map((l) => [subnetKey(l), l])));
    report({ table, events: undefined });
    return this.#store.watch((events) => {
      table = table.after(events);
      report({ table, events });
    });
  }

  completeLease(lease: Lease, revoked: () => void): () => void {
    const key = storeKey(lease);
    const everyMs = LEASE_TTL_MS - this.#options.renewMarginMinutes * 60_000;
    const { clock } = this.#options;
    const renew = () => {
      this.#store.renew(key, LEASE_TTL_MS);
      timer = clock.schedule(everyMs, renew, { background: true });
    };
    let timer = clock.schedule(everyMs, renew, { background: true });
    const unwatch = this.#store.watch((events) => {
      if (events.removed.some((l) => storeKey(l) === key)) revoked();
    });
    return () => {
      timer.cancel();
      unwatch();
    };
  }

  /** The lease that this node had: it has the same public address. */
  #leaseOf({ publicIp, publicIpv6 }: LeaseAttributes): Lease | undefined {
    for (const lease of this.#store.leases) {
      const { attributes } = lease;
      const same =
        publicIp !== undefined
          ? attributes.publicIp === publicIp
          : publicIpv6 !== undefined && attributes.publicIpv6 === publicIpv6;
      if (same) return lease;
    }
    return undefined;
  }

  #put(
    subnet: Prefix | undefined,
    ipv6Subnet: Prefix | undefined,
    attributes: LeaseAttributes,
  ): Lease {
    const { enableIPv4, enableIPv6 } = this.#conf;
    const lease: Lease = { enableIPv4, enableIPv6, subnet, ipv6Subnet, attributes };
    this.#store.put(lease, LEASE_TTL_MS);
    return lease;
  }

  /** Whether a subnet is what the configuration asks for; none is, for a family that is off. */
  #fits(subnet: Prefix | undefined, family: IpFamily): boolean {
    const range = this.#ranges[family];
    if (range === undefined || subnet === undefined)
      return range === undefined && subnet === undefined;
    return (
      subnet.length === range.length &&
      Prefix.compare(range.min, subnet) <= 0 &&
      Prefix.compare(subnet, range.max) <= 0
    );
  }

  #isTaken(subnet: Prefix | undefined, family: IpFamily): boolean {
    if (subnet === undefined) return false;
    for (const lease of this.#store.leases) {
      const other = family === 4 ? lease.subnet : lease.ipv6Subnet;
      if (other?.overlaps(subnet)) return true;
    }
    return false;
  }

  /** One of the first free subnets, by chance. @throws FlanneldError when there is none */
  #free(family: IpFamily): Prefix | undefined {
    const range = this.#ranges[family];
    const network = networkOf(this.#conf, family);
    if (range === undefined || network === undefined) return undefined;
    const free: Prefix[] = [];
    for (let at: Prefix | undefined = range.min; at !== undefined && free.length < CANDIDATES; ) {
      if (!this.#isTaken(at, family)) free.push(at);
      at = at.equals(range.max) ? undefined : new Prefix(addToIp(at.last, 1), at.length);
    }
    if (free.length === 0) throw new FlanneldError("out of subnets");
    return free[this.#options.random.below(free.length)];
  }
}
