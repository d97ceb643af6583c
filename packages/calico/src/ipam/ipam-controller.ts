import {
  type ApiClient,
  type Clock,
  type ClusterController,
  EPOCH_MS,
  objectKey,
  type Timer,
} from "@cnilab/core";
import { Subscription } from "rxjs";
import type {} from "../api/kinds.ts";
import type { IPAMBlockSpec } from "../api/v3.ts";
import { ownerOf } from "./affinities.ts";
import { isEmpty } from "./allocation-block.ts";
import { nameOfCidr } from "./api-datastore.ts";
import { IpamClient } from "./ipam-client.ts";
import { IpamError, ResourceDoesNotExist } from "./ipam-error.ts";
import { type Allocation, allocationId, allocationsOf, podHolds } from "./leak.ts";

/** How long an address may be nobody's, and a block unused, unless KubeControllersConfiguration says otherwise. */
export const LEAK_GRACE_MS = 900_000;

/** A block as the collector knows it. */
interface Block {
  readonly spec: IPAMBlockSpec;
  /** Whose it is, where it is a host's. */
  readonly host: string | undefined;
  readonly allocations: readonly Allocation[];
  /** Nodes that it has something of. */
  readonly nodes: ReadonlySet<string>;
}

/**
 * Takes back what IPAM holds for pods and nodes that are gone: addresses that leaked, blocks that nobody uses, affinities of nodes that were
 * deleted (kube-controllers/pkg/controllers/node/ipam.go). It looks at a node when one of its blocks or pods has changed, and at all of them
 * when a node has been deleted and from time to time.
 */
export class IpamController implements ClusterController {
  readonly name = "calico-kube-controllers";
  readonly #api: ApiClient;
  readonly #clock: Clock;
  readonly #client: IpamClient;
  readonly #subscriptions = new Subscription();
  readonly #blocks = new Map<string, Block>();
  readonly #blocksOfNode = new Map<string, Set<string>>();
  /** Names of blocks that changed since they were looked at. */
  readonly #changed = new Set<string>();
  readonly #dirtyNodes = new Set<string>();
  /** Since when an allocation is suspected, by its id. */
  readonly #suspects = new Map<string, number>();
  readonly #confirmed = new Map<string, Allocation>();
  /** Since when a block is empty that its host could do without. */
  readonly #emptySince = new Map<string, number>();
  /** Names of blocks with addresses that cool down. */
  readonly #cooling = new Set<string>();
  /** Names of hosts' blocks that are empty. */
  readonly #empty = new Set<string>();
  #fullScan = true;
  #due: Timer | undefined;
  #dueIsAwaited = false;
  #periodic: Timer | undefined;

  constructor(api: ApiClient, clock: Clock) {
    this.#api = api;
    this.#clock = clock;
    this.#client = IpamClient.of(api, clock);
  }

  start(): void {
    const { api } = { api: this.#api };
    this.#subscriptions.add(
      api.watch("IPAMBlock.projectcalico.org").subscribe(({ object }) => {
        this.#changed.add(objectKey(object));
        // Whoever changed it does not wait for what is to come of it.
        this.#syncSoon(false);
      }),
    );
    this.#subscriptions.add(
      api.watch("Pod").subscribe(({ type, object }) => {
        if (type !== "DELETED" || object.spec.nodeName === undefined) return;
        this.#dirtyNodes.add(object.spec.nodeName);
        this.#syncSoon(true);
      }),
    );
    this.#subscriptions.add(
      api.watch("Node").subscribe(({ type }) => {
        if (type !== "DELETED") return;
        this.#fullScan = true;
        this.#syncSoon(true);
      }),
    );
    this.#schedulePeriodic();
  }

  stop(): void {
    this.#subscriptions.unsubscribe();
    this.#due?.cancel();
    this.#periodic?.cancel();
  }

  /** 0 where leaks are left alone. */
  get #graceMs(): number {
    const config = this.#api.get("KubeControllersConfiguration.projectcalico.org", "default");
    const text = config?.spec.controllers.node?.leakGracePeriod;
    return text === undefined ? LEAK_GRACE_MS : (durationMs(text) ?? LEAK_GRACE_MS);
  }

  #schedulePeriodic(): void {
    const grace = this.#graceMs;
    const period = grace > 0 ? grace / 2 : 300_000;
    const sync = () => {
      this.#fullScan = true;
      this.#sync();
      this.#schedulePeriodic();
    };
    this.#periodic = this.#clock.schedule(period, sync, { background: true });
  }

  /** Once for all changes of a moment. @param awaited whether the cluster has not settled before */
  #syncSoon(awaited: boolean): void {
    if (this.#due !== undefined && (this.#dueIsAwaited || !awaited)) return;
    this.#due?.cancel();
    this.#dueIsAwaited = awaited;
    const sync = () => {
      this.#due = undefined;
      this.#sync();
    };
    this.#due = this.#clock.schedule(0, sync, { background: !awaited });
  }

  #sync(): void {
    this.#readChanged();
    const nodes = this.#fullScan ? this.#blocksOfNode.keys() : this.#dirtyNodes;
    this.#fullScan = false;
    const gone = [...nodes].filter((node) => this.#check(node));
    this.#dirtyNodes.clear();
    this.#releaseLeaks();
    this.#collectColdAddresses();
    this.#releaseUnusedBlocks();
    for (const node of gone) this.#releaseNode(node);
  }

  #readChanged(): void {
    for (const name of this.#changed) {
      const old = this.#blocks.get(name);
      for (const node of old?.nodes ?? []) {
        this.#dirtyNodes.add(node);
        this.#blocksOfNode.get(node)?.delete(name);
        if (this.#blocksOfNode.get(node)?.size === 0) this.#blocksOfNode.delete(node);
      }
      this.#cooling.delete(name);
      this.#empty.delete(name);
      const spec = this.#api.get("IPAMBlock.projectcalico.org", name)?.spec;
      if (spec === undefined) {
        this.#blocks.delete(name);
        this.#emptySince.delete(name);
        continue;
      }
      const block = blockOf(spec);
      this.#blocks.set(name, block);
      if (spec.attributes.some(({ releasedAt }) => releasedAt !== undefined)) {
        this.#cooling.add(name);
      }
      if (block.host !== undefined && isEmpty(spec)) this.#empty.add(name);
      else this.#emptySince.delete(name);
      for (const node of block.nodes) {
        this.#dirtyNodes.add(node);
        const names = this.#blocksOfNode.get(node);
        if (names === undefined) this.#blocksOfNode.set(node, new Set([name]));
        else names.add(name);
      }
    }
    this.#changed.clear();
  }

  *#allocationsFor(node: string): Generator<Allocation, void> {
    for (const name of this.#blocksOfNode.get(node) ?? []) {
      for (const allocation of this.#blocks.get(name)?.allocations ?? []) {
        if (allocation.node === node) yield allocation;
      }
    }
  }

  /** Looks for leaks on a node. @returns whether the node is gone, and with it all that it had */
  #check(node: string): boolean {
    const there = this.#api.get("Node", node) !== undefined;
    const grace = this.#graceMs;
    const tunnels: Allocation[] = [];
    let inUse = false;
    for (const allocation of this.#allocationsFor(node)) {
      if (allocation.use === "windows") continue;
      if (allocation.use === "tunnel") {
        tunnels.push(allocation);
        continue;
      }
      if (allocation.use === "unknown") {
        inUse = true;
        continue;
      }
      const id = allocationId(allocation);
      if (this.#isHeld(allocation, there)) {
        inUse = true;
        this.#suspects.delete(id);
        this.#confirmed.delete(id);
      } else if (!there || this.#suspectedFor(id) > grace) {
        if (!there || grace > 0) this.#confirmed.set(id, allocation);
      }
    }
    if (there || inUse) return false;
    for (const allocation of tunnels) this.#confirmed.set(allocationId(allocation), allocation);
    return true;
  }

  #isHeld(allocation: Allocation, nodeIsThere: boolean): boolean {
    const pod = this.#api.get("Pod", allocation.podKey);
    return podHolds(pod, allocation, nodeIsThere ? allocation.node : undefined);
  }

  /** Milliseconds since an allocation was first seen without its pod. */
  #suspectedFor(id: string): number {
    const { now } = this.#clock;
    const since = this.#suspects.get(id) ?? now;
    this.#suspects.set(id, since);
    return now - since;
  }

  /** Addresses of one handle are given back together, when all of them have leaked. */
  #releaseLeaks(): void {
    const leaks = [...this.#confirmed].filter(([, { handle }]) => this.#allLeaked(handle));
    for (const [id, { address, handle, sequenceNumber }] of leaks) {
      try {
        this.#client.releaseIps([{ address, handle, sequenceNumber }]);
      } catch (error) {
        // Somebody has it again.
        if (!(error instanceof IpamError)) throw error;
      }
      this.#confirmed.delete(id);
      this.#suspects.delete(id);
    }
    // Its own changes are known at once; the watch tells of them later.
    for (const [, { block }] of leaks) this.#changed.add(nameOfCidr(block));
    this.#readChanged();
  }

  #allLeaked(handle: string): boolean {
    try {
      const addresses = this.#client.ipsByHandle(handle);
      return addresses.every((address) => this.#confirmed.has(allocationId({ handle, address })));
    } catch (error) {
      if (!(error instanceof ResourceDoesNotExist)) throw error;
      return true;
    }
  }

  /** Blocks that nobody takes addresses from would otherwise keep those that have cooled down. */
  #collectColdAddresses(): void {
    const { ipCooldownSeconds } = this.#client.settings;
    const before = EPOCH_MS + this.#clock.now - ipCooldownSeconds * 1000;
    for (const name of this.#cooling) {
      const spec = this.#blocks.get(name)?.spec;
      const cold = spec?.attributes.some(
        ({ releasedAt }) => releasedAt !== undefined && Date.parse(releasedAt) <= before,
      );
      if (spec !== undefined && cold) this.#client.collectColdAddresses(spec.cidr);
    }
  }

  /** Blocks that have been empty for the grace period go, but each node keeps one. */
  #releaseUnusedBlocks(): void {
    const grace = this.#graceMs;
    const { now } = this.#clock;
    for (const name of [...this.#empty]) {
      const { spec, host } = this.#blocks.get(name) as Block;
      if (host === undefined || this.#blockCount(host) <= 1) continue;
      const since = this.#emptySince.get(name) ?? now;
      this.#emptySince.set(name, since);
      if (grace <= 0 || now - since <= grace) continue;
      this.#giveUp(spec);
      if (this.#api.get("IPAMBlock.projectcalico.org", name) === undefined) {
        this.#changed.add(name);
        this.#readChanged();
      }
    }
  }

  #blockCount(host: string): number {
    let count = 0;
    for (const name of this.#blocksOfNode.get(host) ?? []) {
      if (this.#blocks.get(name)?.host === host) count++;
    }
    return count;
  }

  #giveUp(spec: IPAMBlockSpec): void {
    const owner = ownerOf(spec);
    if (owner === undefined) return;
    try {
      this.#client.releaseBlockAffinity(owner, spec.cidr, true);
    } catch (error) {
      if (!(error instanceof IpamError)) throw error;
    }
  }

  /** What is in use of its blocks keeps them; they are tried again at the next scan. */
  #releaseNode(host: string): void {
    try {
      this.#client.releaseHostAffinities({ type: "host", host }, true);
    } catch (error) {
      if (!(error instanceof IpamError)) throw error;
    }
  }
}

function blockOf(spec: IPAMBlockSpec): Block {
  const owner = ownerOf(spec);
  const host = owner?.type === "host" ? owner.host : undefined;
  const allocations = allocationsOf(spec);
  const nodes = new Set(allocations.map(({ node }) => node).filter((node) => node !== ""));
  if (host !== undefined) nodes.add(host);
  return { spec, host, allocations, nodes };
}

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** A duration as Go writes it: `15m0s`. `undefined` where it is none. */
function durationMs(text: string): number | undefined {
  if (!/^([0-9.]+(ms|s|m|h))+$/.test(text)) return text === "0" ? 0 : undefined;
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/([0-9.]+)(ms|s|m|h)/g)) {
    total += Number(amount) * (UNITS_MS[unit as string] as number);
  }
  return total;
}
