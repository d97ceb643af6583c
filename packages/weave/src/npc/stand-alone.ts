import {
  type KubeObject,
  kindOf,
  type Namespace,
  type NetworkPolicy,
  namespaceLabels,
  objectKey,
  type Pod,
  withNamespaceLabel,
  withPolicyTypes,
} from "@cnilab/core";
import { Bridge, type NetNamespace } from "@cnilab/linux";
import {
  type BridgeRulesConfig,
  configureBridgeRules,
  resetBridgeRules,
  WEAVE_BRIDGE,
} from "../bridge/bridge-rules.ts";
import { NetworkPolicyController, type NpcObject } from "./controller.ts";
import type { NpcEvent } from "./npc-events.ts";

/** As in weave-kube. */
const BRIDGE_RULES: BridgeRulesConfig = {
  npc: true,
  noMasqLocal: false,
  port: 6783,
  controlPort: 6784,
};

/** In the order in which weave-npc starts to watch them. */
const KINDS: readonly NpcObject["kind"][] = ["Namespace", "Pod", "NetworkPolicy"];

/** weave-npc for one node and exactly these objects, on a bridge with the rules that lead to its own, and with no cluster around it. */
export class StandAloneNpc {
  readonly #controller: NetworkPolicyController;
  /** Namespaces that the API would tell of. */
  readonly #namespaces = new Map<string, Namespace>();
  readonly #objects = new Map<string, NpcObject>();

  constructor(netns: NetNamespace) {
    new Bridge(netns, { name: WEAVE_BRIDGE });
    const iptables = netns.iptables(4);
    resetBridgeRules(iptables, netns.ipsets, BRIDGE_RULES);
    configureBridgeRules(iptables, BRIDGE_RULES);
    this.#controller = new NetworkPolicyController(netns, (name) => this.#namespaces.get(name));
  }

  /** One event, as the API told it. @returns what weave-npc logs where it fails */
  handle({ op, object, old }: NpcEvent): string | undefined {
    if (object.kind === "Namespace" && op !== "delete") {
      this.#namespaces.set(object.metadata.name, object);
    }
    try {
      if (op === "update") this.#controller.update(old, object);
      else if (op === "delete") this.#controller.delete(object);
      else this.#controller.add(object);
    } catch (error) {
      return (error as Error).message;
    }
    return undefined;
  }

  /**
   * @param objects all that the API server holds; what weave-npc does not watch is passed over
   * @returns what it logs, by the object that it fails with
   */
  apply(objects: readonly KubeObject[]): ReadonlyMap<string, string> {
    const wanted = new Map(stored(objects).map((each) => [keyOf(each), each]));
    const problems = new Map<string, string>();
    const tell = (event: NpcEvent) => {
      const problem = this.handle(event);
      if (problem !== undefined) problems.set(keyOf(event.object), problem);
    };
    for (const kind of KINDS) {
      for (const [key, object] of wanted) {
        if (object.kind !== kind) continue;
        const old = this.#objects.get(key);
        if (old === undefined) tell({ op: "add", object });
        else if (JSON.stringify(old) !== JSON.stringify(object))
          tell({ op: "update", old, object });
      }
    }
    for (const kind of KINDS.toReversed()) {
      for (const [key, object] of this.#objects) {
        if (object.kind === kind && !wanted.has(key)) tell({ op: "delete", object });
      }
    }
    this.#objects.clear();
    for (const [key, object] of wanted) this.#objects.set(key, object);
    return problems;
  }
}

function keyOf(object: NpcObject): string {
  return `${object.kind} ${objectKey(object)}`;
}

/** As the API server has them: with their defaults and a UID, and with the namespaces that nobody wrote down. */
function stored(objects: readonly KubeObject[]): readonly NpcObject[] {
  const own = objects.flatMap((object): readonly NpcObject[] => {
    const kind = kindOf(object);
    if (kind === "Namespace") return [withUid(withNamespaceLabel(object as Namespace))];
    if (kind === "NetworkPolicy") return [namespaced(withPolicyTypes(object as NetworkPolicy))];
    return kind === "Pod" ? [namespaced(object as Pod)] : [];
  });
  const written = new Set(own.filter(({ kind }) => kind === "Namespace").map(objectKey));
  const meant = own.map(({ metadata: { name, namespace = name } }) => namespace);
  const implied = [...new Set(meant)].filter((name) => !written.has(name));
  return [...implied.map(impliedNamespace), ...own];
}

function impliedNamespace(name: string): Namespace {
  const metadata = { name, labels: namespaceLabels({ name }) };
  return withUid({ apiVersion: "v1", kind: "Namespace", metadata });
}

function namespaced<T extends Pod | NetworkPolicy>(object: T): T {
  const { namespace = "default" } = object.metadata;
  return withUid({ ...object, metadata: { ...object.metadata, namespace } });
}

function withUid<T extends NpcObject>(object: T): T {
  const uid = object.metadata.uid ?? keyOf(object);
  return { ...object, metadata: { ...object.metadata, uid } };
}
