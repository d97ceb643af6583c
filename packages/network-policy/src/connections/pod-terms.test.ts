import { expect, test } from "vitest";
import type { LabelExpression } from "../policy/label-expression.ts";
import type { PeerTerm } from "../policy/policy.ts";
import type { PodLabel } from "../policy/policy-reader.ts";
import { podsOf } from "./pod-terms.ts";
import { possiblePeerName } from "./possible-peer.ts";

/** `ns`, `cluster`, `ns.KEY`, `never.KEY`; all others are pods' own. */
function podLabel(key: string): PodLabel | undefined {
  if (key === "ns") return { of: "namespace name" };
  if (key === "cluster") return { of: "cluster", value: "here" };
  if (key.startsWith("never.")) return undefined;
  return key.startsWith("ns.") ? { of: "namespace", key: key.slice(3) } : { of: "pod", key };
}

const has = (key: string): LabelExpression => ({ op: "has", key });
const is = (key: string, ...values: string[]): LabelExpression => ({ op: "in", key, values });
const not = (of: LabelExpression): LabelExpression => ({ op: "not", of });
const all = (...of: LabelExpression[]): LabelExpression => ({ op: "all", of });
const any = (...of: LabelExpression[]): LabelExpression => ({ op: "any", of });
const where = (expression: LabelExpression): PeerTerm => ({ kind: "labels", where: expression });

test.each<[string, PeerTerm, readonly string[]]>([
  ["a label", where(is("app", "db")), ["[all namespaces]/[pod with {app=db}]"]],
  ["a namespace", where(all(is("ns", "shop"), is("app", "db"))), ["shop/[pod with {app=db}]"]],
  ["a namespace's label", where(is("ns.env", "prod")), ["[namespace with {env=prod}]/[all pods]"]],
  [
    "what must not be",
    where(not(any(is("app", "db", "web"), has("x")))),
    [
      "[all namespaces]/[pod with {{Key:app,Operator:NotIn,Values:[db web],},{Key:x,Operator:DoesNotExist,Values:[],}}]",
    ],
  ],
  ["all pods", where(all(has("ns"), is("cluster", "here"))), ["[all namespaces]/[all pods]"]],
  [
    "all pods, by an alternative",
    where(any(is("app", "db"), has("ns"))),
    ["[all namespaces]/[all pods]"],
  ],
  ["other clusters", where(is("cluster", "there")), []],
  ["what pods never have", where(all(has("never.host"), is("app", "db"))), []],
  [
    "not what pods never have",
    where(all(not(has("never.host")), is("app", "db"))),
    ["[all namespaces]/[pod with {app=db}]"],
  ],
  [
    "several",
    where(any(is("app", "db"), is("app", "web"))),
    ["[all namespaces]/[pod with {app=db}]", "[all namespaces]/[pod with {app=web}]"],
  ],
  [
    "what selectors of Kubernetes cannot say",
    where({ op: "startsWith", key: "app", text: "d" }),
    [],
  ],
  [
    "terms together",
    {
      kind: "all",
      of: [
        { kind: "pods", namespace: "shop", podSelector: {} },
        { kind: "not", of: { kind: "all", of: [where(has("never.host")), { kind: "local" }] } },
        where(is("app", "db")),
      ],
    },
    ["shop/[pod with {app=db}]"],
  ],
  [
    "addresses",
    { kind: "all", of: [where(has("app")), { kind: "block", cidrs: [], except: [] }] },
    [],
  ],
  ["nodes", { kind: "nodes", nodeSelector: {} }, []],
])("%s", (_, term, names) => {
  const found = podsOf(term, podLabel).map(({ pods: { namespaceSelector = {}, podSelector } }) =>
    possiblePeerName({ namespaceSelector, podSelector }),
  );
  expect(found).toEqual(names);
});
