import type { NodeContext, Pod, PolicyEngine, Timer } from "@cnilab/core";
import { objectKey } from "@cnilab/core";
import type { Kernel } from "@cnilab/linux";
import { familyOf, formatIp, type IpAddress, tryParseIp } from "@cnilab/net";
import { BehaviorSubject, combineLatest, type Observable, Subscription } from "rxjs";
import { LOCAL_PODS, OWN_TRAFFIC } from "./base-chains.ts";
import { TABLE } from "./names.ts";
import { type PolicySnapshots, type PolicyTables, WATCHED } from "./policy-tables.ts";

/**
 * A policy controller beside the CNI, as kube-network-policies and kube-router are: programs an nftables table on its
 * node. All nodes have the same chains and maps; which pods are its own is the node's part.
 */
export class PolicyAgent implements PolicyEngine {
  readonly name = "network-policy";
  readonly enforces = [
    "NetworkPolicy",
    "AdminNetworkPolicy",
    "BaselineAdminNetworkPolicy",
    "ClusterNetworkPolicy",
  ] as const;
  readonly #node: NodeContext<Kernel>;
  readonly #tables: PolicyTables;
  readonly #ready = new BehaviorSubject(false);
  /** Addresses of the node's own pods. */
  readonly #local = new Map<string, readonly IpAddress[]>();
  /** Those that the kernel knows. */
  readonly #programmed = new Set<string>();
  #subscription: Subscription | undefined;
  #seen: PolicySnapshots | undefined;
  #timer: Timer | undefined;

  constructor(node: NodeContext<Kernel>, tables: PolicyTables) {
    this.#node = node;
    this.#tables = tables;
  }

  get ready(): Observable<boolean> {
    return this.#ready;
  }

  start(): void {
    if (this.#subscription !== undefined) return;
    const { api, name } = this.#node;
    this.#subscription = new Subscription();
    this.#subscription.add(
      api.watchPodsOfNode(name).subscribe(({ type, object }) => {
        const addresses = type === "DELETED" ? [] : addressesOf(object);
        if (addresses.length === 0) this.#local.delete(objectKey(object));
        else this.#local.set(objectKey(object), addresses);
        this.#schedule();
      }),
    );
    this.#subscription.add(
      combineLatest(WATCHED.map((kind) => api.snapshots(kind))).subscribe((seen) => {
        this.#seen = seen;
        this.#schedule();
      }),
    );
  }

  /** What it programmed stays. */
  stop(): void {
    this.#subscription?.unsubscribe();
    this.#subscription = undefined;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#ready.next(false);
  }

  /** Changes of one moment are programmed together. */
  #schedule(): void {
    this.#timer ??= this.#node.clock.schedule(0, () => {
      this.#timer = undefined;
      this.#sync();
    });
  }

  #sync(): void {
    if (this.#seen === undefined) return;
    const layer = this.#tables.of(this.#seen);
    if (layer !== undefined) {
      const { nftables } = this.#node.machine.initNs;
      // Somebody may have flushed the ruleset.
      if (!nftables.hasTable("inet", TABLE)) this.#programmed.clear();
      nftables.setLayer(layer);
      const changes = this.#localChanges();
      if (changes !== "") nftables.apply(changes);
    }
    if (!this.#ready.value) this.#ready.next(true);
  }

  #localChanges(): string {
    const wanted = new Set([...this.#local.values()].flat().flatMap(elementsOf));
    const change = (what: "add" | "delete", element: string) => {
      if (what === "add") this.#programmed.add(element);
      else this.#programmed.delete(element);
      return `${what} element inet ${TABLE} ${element}`;
    };
    return [
      ...[...this.#programmed].filter((e) => !wanted.has(e)).map((e) => change("delete", e)),
      ...[...wanted].filter((e) => !this.#programmed.has(e)).map((e) => change("add", e)),
    ].join("\n");
  }
}

/** The node's own pods, and each of them as its own peer. */
function elementsOf(address: IpAddress): readonly string[] {
  const family = familyOf(address);
  const text = formatIp(address);
  return [`${LOCAL_PODS[family]} { ${text} }`, `${OWN_TRAFFIC[family]} { ${text} . ${text} }`];
}

/** None for a pod on its node's network, and for one that has ended. */
function addressesOf({ spec, status }: Pod): readonly IpAddress[] {
  if (spec.hostNetwork === true || status?.phase === "Succeeded" || status?.phase === "Failed") {
    return [];
  }
  return (status?.podIPs ?? []).flatMap(({ ip }) => tryParseIp(ip) ?? []);
}
