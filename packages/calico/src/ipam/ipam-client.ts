import type { ApiClient, Clock } from "@cnilab/core";
import type { IpAddress, IpFamily } from "@cnilab/net";
import type { AllocationAttribute } from "../api/v3.ts";
import { releaseBlockAffinity, releaseHostAffinities, retried } from "./affinities.ts";
import type { ReleaseOptions } from "./allocation-block.ts";
import { ApiDatastore } from "./api-datastore.ts";
import { type AssignIpRequest, assignIp } from "./assign-ip.ts";
import { type Assignments, type AutoAssignRequest, autoAssign } from "./auto-assign.ts";
import { enabledPools } from "./choose-pools.ts";
import type { AffinityOwner, IpamDatastore } from "./datastore.ts";
import { type IpamSettings, ipamSettings } from "./ipam-settings.ts";
import type { Pool } from "./pool.ts";
import {
  assignmentAttributes,
  collectColdAddresses,
  ipsByHandle,
  type ReleasedAddresses,
  releaseByHandle,
  releaseIps,
} from "./release.ts";
import { type IpamSteps, runNow } from "./steps.ts";
import { type UtilizationReport, utilization } from "./utilization.ts";

/** Calico's IPAM for whoever has no time to lose: each call is done when it returns (libcalico-go/lib/ipam/interface.go). */
export class IpamClient {
  readonly datastore: IpamDatastore;
  readonly #now: () => number;

  constructor(datastore: IpamDatastore, clock: Pick<Clock, "now">) {
    this.datastore = datastore;
    this.#now = () => clock.now;
  }

  static of(api: ApiClient, clock: Pick<Clock, "now">): IpamClient {
    return new IpamClient(ApiDatastore.of(api), clock);
  }

  /** @throws IpamError, AssignmentFailed */
  autoAssign(request: AutoAssignRequest): Assignments {
    return this.#run(autoAssign(request, this.#now));
  }

  /** @throws IpamError */
  assignIp(request: AssignIpRequest): void {
    this.#run(assignIp(request, this.#now));
  }

  /** @throws UpdateConflict where somebody else has an address now */
  releaseIps(options: readonly ReleaseOptions[]): ReleasedAddresses {
    return this.#run(releaseIps(options, this.#now));
  }

  /** @throws ResourceDoesNotExist for a handle that is not there */
  releaseByHandle(handle: string): void {
    this.#run(releaseByHandle(handle, this.#now));
  }

  /** @throws ResourceDoesNotExist for a handle that is not there */
  ipsByHandle(handle: string): IpAddress[] {
    return this.#run(ipsByHandle(handle, this.#now));
  }

  /** Who has an address. @throws ResourceDoesNotExist where nobody has it, AddressInCooldown */
  assignmentAttributes(address: IpAddress): AllocationAttribute {
    return this.#run(assignmentAttributes(address, this.#now));
  }

  /** @throws IpamError */
  releaseHostAffinities(owner: AffinityOwner, requireEmpty: boolean): void {
    this.#run(releaseHostAffinities(owner, this.settings, this.#now, requireEmpty));
  }

  /** @throws BlockClaimConflict, BlockNotEmpty, ResourceDoesNotExist */
  releaseBlockAffinity(owner: AffinityOwner, cidr: string, requireEmpty: boolean): void {
    const { settings } = this;
    this.#run(
      retried(() => releaseBlockAffinity(owner, cidr, settings, this.#now, { requireEmpty })),
    );
  }

  collectColdAddresses(cidr: string): void {
    this.#run(collectColdAddresses(cidr, this.#now));
  }

  enabledPools(family: IpFamily): readonly Pool[] {
    return this.#run(enabledPools(family));
  }

  get settings(): IpamSettings {
    return this.#run(ipamSettings());
  }

  get utilization(): UtilizationReport {
    return utilization(this.datastore);
  }

  #run<T>(steps: IpamSteps<T>): T {
    return runNow(steps, this.datastore);
  }
}
