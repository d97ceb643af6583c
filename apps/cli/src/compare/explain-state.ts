import type { Comparison } from "./comparison.ts";
import { named } from "./explain-way.ts";
import type { StateFinding } from "./finding.ts";
import { alike, listed } from "./names-in-text.ts";

/** Maps that are named; of the others there are too many. */
const MOST_MAPS = 4;
/** Chains of kube-proxy and the kubelet. */
const KUBE = "KUBE";

type Counts = StateFinding["counts"];

/** What the rules, routes and entries of a node are for. */
export function explainState(comparison: Comparison): string[] {
  const { findings } = comparison;
  const states = findings.flatMap(({ cni, state }) =>
    state === undefined ? [] : [[cni.label, state.counts] as const],
  );
  const of = (count: (counts: Counts) => number, text: (n: number, counts: Counts) => string) =>
    states.flatMap(([name, counts]) => {
      const n = count(counts);
      return n > 0 ? [`${name} ${text(n, counts)}`] : [];
    });
  const kube = alike(states, ([, { iptablesOwners }]) => String(iptablesOwners[KUBE] ?? 0)).map(
    (group) => {
      const [, { iptablesOwners }] = states[group[0] as number] as (typeof states)[number];
      const names = listed(group.map((i) => states[i]?.[0] as string));
      return `${iptablesOwners[KUBE] ?? 0} on ${group.length === states.length ? "each" : names}`;
    },
  );
  const own = of(
    ({ iptablesOwners }) => Object.keys(iptablesOwners).filter((owner) => owner !== KUBE).length,
    (_, { iptablesOwners }) => owners(iptablesOwners),
  );
  const routes = of(
    ({ hostRoutes }) => hostRoutes,
    (n, { routes: all }) => `${n} of ${all}`,
  );
  const sets = of(({ ipsetMembers }) => ipsetMembers, String);
  const maps = of(
    ({ bpfEntries }) => bpfEntries,
    (_, { bpfMaps }) => largest(bpfMaps),
  );
  return [
    ...(own.length > 0 || kube.length > 1
      ? [`iptables rules in KUBE-* chains (Services): ${listed(kube)}; others: ${own.join(", ")}.`]
      : []),
    ...(routes.length > 0 && routes.length < states.length
      ? [`Routes to single addresses, which nodes with a bridge do without: ${listed(routes)}.`]
      : []),
    ...(sets.length > 0 && sets.length < states.length
      ? [`A rule can ask an ipset for many addresses at once: ${listed(sets)} members.`]
      : []),
    ...(maps.length > 0 ? [`Most of the eBPF entries: ${maps.join("; ")}.`] : []),
    ...connections(comparison),
  ];
}

function owners(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .filter(([owner]) => owner !== KUBE)
    .map(([owner, n]) => `${n} in ${owner}*`)
    .join(" and ");
}

function largest(maps: Readonly<Record<string, number>>): string {
  return Object.entries(maps)
    .sort(([, m], [, n]) => n - m)
    .slice(0, MOST_MAPS)
    .map(([name, n]) => `${name} ${n}`)
    .join(", ");
}

/** What of the entries that a connection left is the tunnel's. */
function connections(comparison: Comparison): string[] {
  const walked = named(
    comparison,
    comparison.acrossNodes?.found.map((walk) => walk?.service ?? walk?.direct),
  );
  const texts = walked.map(([name, { first, answer, later, tracked }]) => {
    const walks = [first, answer, later];
    const kept = walks.reduce((sum, { connections: n }) => sum + n, 0);
    const tunnel = walks.reduce((sum, { tunnelConnections: n }) => sum + n, 0);
    const parts = [
      [kept - tunnel, "conntrack"],
      [tunnel, "its tunnel's packets"],
      [tracked - kept, "eBPF maps"],
    ] as const;
    const some = parts.filter(([n]) => n > 0).map(([n, what]) => `${n} ${what}`);
    return `${name} ${some.length === 0 ? "none" : some.join(" + ")}`;
  });
  return texts.length === 0 ? [] : [`Entries that one connection left: ${texts.join("; ")}.`];
}
