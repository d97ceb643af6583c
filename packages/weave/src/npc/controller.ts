import type { Namespace, NetworkPolicy, Pod } from "@cnilab/core";
import type { NetNamespace } from "@cnilab/linux";
import { createBaseRules, resetIpsets, resetIptables } from "./base-rules.ts";
import { EGRESS_CHAIN, EGRESS_MARK, LOG_GROUP } from "./chains.ts";
import { IpsetUsers } from "./ipset-users.ts";
import {
  ipOf,
  labelsOf,
  NpcNamespace,
  type NpcShared,
  podComment,
  uidOf,
} from "./npc-namespace.ts";
import { npcOrigin } from "./npc-origin.ts";
import type { NpcSharing } from "./npc-sharing.ts";
import { SelectorSet } from "./selector-set.ts";

/** Objects of these kinds, as the API tells of them. */
export type NpcObject = Namespace | Pod | NetworkPolicy;

/**
 * weave-npc on a node: keeps sets and rules for all namespaces of the cluster in step with the API (npc/controller.go). What fails is
 * logged there, and the controller goes on.
 */
export class NetworkPolicyController {
  readonly #shared: NpcShared;
  readonly #namespaces = new Map<string, NpcNamespace>();
  readonly #namespaceOf: (name: string) => Namespace | undefined;
  #dropsEgress = false;

  /**
   * @param namespaceOf asks the API
   * @param sharing with the controllers of other nodes, where there are some
   */
  constructor(
    netns: NetNamespace,
    namespaceOf: (name: string) => Namespace | undefined,
    sharing?: NpcSharing,
  ) {
    const iptables = netns.iptables(4);
    this.#namespaceOf = namespaceOf;
    const sets = new IpsetUsers(netns.ipsets, sharing);
    resetIptables(iptables);
    resetIpsets(netns.ipsets);
    createBaseRules(iptables);
    this.#shared = {
      iptables,
      sets,
      sharing,
      namespaces: new SelectorSet(sets, {
        made: (selector) => {
          for (const namespace of this.#namespaces.values()) {
            if (namespace.uid !== "" && selector.selectsNamespace(namespace.labels)) {
              namespace.joinNamespaces(selector);
            }
          }
        },
      }),
      namespacedPods: new SelectorSet(sets, {
        made: (selector) => {
          for (const namespace of this.#namespaces.values()) {
            if (namespace.uid === "" || !selector.selectsNamespace(namespace.labels)) continue;
            for (const pod of namespace.pods()) {
              if (!selector.selectsPod(labelsOf(pod))) continue;
              sets.add(uidOf(pod), selector.setName, ipOf(pod), podComment(pod));
            }
          }
        },
      }),
    };
  }

  /** @throws Error as weave-npc logs it */
  add(object: NpcObject): void {
    if (object.kind === "NetworkPolicy") this.#dropEgressFrom(object);
    this.#within(object, `add ${NAMES[object.kind]}`, (namespace) => {
      if (object.kind === "Namespace") namespace.add(object);
      else if (object.kind === "Pod") namespace.addPod(object);
      else namespace.addPolicy(object);
    });
  }

  /** @throws Error as {@link add} */
  update<T extends NpcObject>(old: T, object: T): void {
    this.#within(old, `update ${NAMES[object.kind]}`, (namespace) => {
      if (object.kind === "Namespace") namespace.update(old as Namespace, object);
      else if (object.kind === "Pod") namespace.updatePod(old as Pod, object);
      else namespace.updatePolicy(old as NetworkPolicy, object);
    });
  }

  /** @throws Error as {@link add} */
  delete(object: NpcObject): void {
    this.#within(object, `delete ${NAMES[object.kind]}`, (namespace) => {
      if (object.kind === "Namespace") namespace.delete(object);
      else if (object.kind === "Pod") namespace.deletePod(object);
      else namespace.deletePolicy(object);
    });
  }

  /** Nothing is dropped of what pods send before the first policy that asks for it; then always. */
  #dropEgressFrom({ spec }: NetworkPolicy): void {
    if (this.#dropsEgress) return;
    if (spec.policyTypes?.includes("Egress") !== true && spec.egress === undefined) return;
    const unmarked = `-m mark ! --mark ${EGRESS_MARK}`;
    const { iptables } = this.#shared;
    const log = `-m state --state NEW ${unmarked} -j NFLOG --nflog-group ${LOG_GROUP}`;
    iptables.append("filter", EGRESS_CHAIN, log);
    iptables.append("filter", EGRESS_CHAIN, `${unmarked} -j DROP`, npcOrigin("egress"));
    this.#dropsEgress = true;
  }

  #within(object: NpcObject, what: string, run: (namespace: NpcNamespace) => void): void {
    const { metadata } = object;
    const name = object.kind === "Namespace" ? metadata.name : (metadata.namespace ?? "default");
    let namespace = this.#namespaces.get(name);
    if (namespace === undefined) {
      const found = this.#namespaceOf(name);
      if (found === undefined) throw new Error(`namespaces "${name}" not found`);
      namespace = new NpcNamespace(found, this.#shared);
      this.#namespaces.set(name, namespace);
    }
    try {
      run(namespace);
    } catch (error) {
      throw new Error(`${what}: ${(error as Error).message}`, { cause: error });
    }
    if (!namespace.isEmpty) return;
    namespace.destroy();
    this.#namespaces.delete(name);
  }
}

const NAMES: Readonly<Record<NpcObject["kind"], string>> = {
  Namespace: "namespace",
  Pod: "pod",
  NetworkPolicy: "network policy",
};
