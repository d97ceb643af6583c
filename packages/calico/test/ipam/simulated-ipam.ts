import { SeededRandom, VirtualClock } from "@cnilab/core";
import { formatIp, type InterfaceAddress, Prefix, parseIp } from "@cnilab/net";
import type { IPPoolSpec } from "../../src/api/v3.ts";
import { addressAt, attributeAt } from "../../src/ipam/allocation-block.ts";
import {
  type Assignments,
  type AutoAssignRequest,
  autoAssign,
} from "../../src/ipam/auto-assign.ts";
import { poolOf } from "../../src/ipam/pool.ts";
import { releaseByHandle } from "../../src/ipam/release.ts";
import { type IpamSteps, runNow, runOnClock } from "../../src/ipam/steps.ts";
import { MemoryDatastore } from "./memory-datastore.ts";

/** IPAM on a virtual clock: calls that take no time, and calls that take some. */
export class SimulatedIpam {
  readonly clock: VirtualClock = new VirtualClock();
  readonly datastore: MemoryDatastore = new MemoryDatastore();
  readonly random: SeededRandom;
  /** What went wrong, in order. */
  readonly failures: string[] = [];

  constructor(
    pools: readonly (Partial<IPPoolSpec> & { readonly cidr: string })[],
    nodes: readonly string[],
    seed = 1,
  ) {
    this.random = new SeededRandom(seed);
    this.datastore.poolList = pools.map((spec) =>
      poolOf({
        apiVersion: "projectcalico.org/v3",
        kind: "IPPool",
        metadata: { name: spec.cidr },
        spec,
      }),
    );
    for (const node of nodes) this.datastore.nodes.set(node, {});
  }

  get now(): () => number {
    return () => this.clock.now;
  }

  run<T>(steps: IpamSteps<T>): T {
    return runNow(steps, this.datastore);
  }

  request(host: string, handle: string, more: Partial<AutoAssignRequest> = {}): AutoAssignRequest {
    const owner = { handle, attributes: { node: host, pod: handle, namespace: "default" } };
    return { count: 1, family: 4, host, owner, use: "Workload", ...more };
  }

  /** @returns addresses with their block's length, as text */
  assign(host: string, handle: string, more: Partial<AutoAssignRequest> = {}): string[] {
    return texts(this.run(autoAssign(this.request(host, handle, more), this.now)));
  }

  release(handle: string): void {
    this.run(releaseByHandle(handle, this.now));
  }

  /** Starts something whose calls of the datastore take 1 to 20 milliseconds each. */
  start<T>(steps: IpamSteps<T>, done: (result: T) => void = () => {}): void {
    runOnClock(steps, this.datastore, this.clock, () => 1 + this.random.below(20), {
      done,
      failed: (error) => this.failures.push((error as Error).message),
    });
  }

  /** Who has an address, by address. */
  get allocated(): ReadonlyMap<string, string> {
    const all = new Map<string, string>();
    for (const { value } of this.datastore.blocks()) {
      value.allocations.forEach((_, ordinal) => {
        const attribute = attributeAt(value, ordinal);
        if (attribute === undefined || attribute.releasedAt !== undefined) return;
        all.set(formatIp(addressAt(value, ordinal)), attribute.handle_id ?? "");
      });
    }
    return all;
  }
}

export function texts({ addresses }: Assignments): string[] {
  return addresses.map(({ address, length }: InterfaceAddress) => `${formatIp(address)}/${length}`);
}

/** An address with its block's length, without that. */
export function addressOf(text: string): string {
  return text.slice(0, text.indexOf("/"));
}

/** The block that a text of {@link texts} is of. */
export function blockOf(text: string): string {
  const [address, length] = text.split("/") as [string, string];
  return String(new Prefix(parseIp(address), Number(length)));
}
