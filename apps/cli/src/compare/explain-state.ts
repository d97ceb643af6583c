import type { Comparison } from "./comparison.ts";
import type { StateFinding } from "./finding.ts";
import { told } from "./names-in-text.ts";

/** Maps that are named; of the others there are too many. */
const MOST_MAPS = 2;
/** Chains of kube-proxy and the kubelet. */
const KUBE = "KUBE";

type Counts = StateFinding["counts"];

/** What the rules, routes and entries of a node are for. */
export function explainState({ findings }: Comparison): string {
  const states = findings.flatMap(({ cni, state }) =>
    state === undefined ? [] : [[cni.label, state.counts, state.pods] as const],
  );
  const of = (count: (counts: Counts) => number, text: (n: number, counts: Counts) => string) =>
    told(
      states.map(([name, counts]) => {
        const n = count(counts);
        return [name, n > 0 ? text(n, counts) : undefined];
      }),
    );
  const own = of(
    ({ iptablesOwners }) => Object.keys(iptablesOwners).filter((owner) => owner !== KUBE).length,
    (_, { iptablesOwners }) => owners(iptablesOwners),
  );
  const isKube = states.some(([, { iptablesOwners }]) => (iptablesOwners[KUBE] ?? 0) > 0);
  const routes = states.flatMap(([name, { hostRoutes, routes: all }, pods]) =>
    pods > 0 && hostRoutes >= pods ? [`${name} ${hostRoutes} of ${all}`] : [],
  );
  const sets = of(({ ipsetMembers }) => ipsetMembers, String);
  const maps = of(
    ({ bpfEntries }) => bpfEntries,
    (_, { bpfMaps }) => largest(bpfMaps),
  );
  return [
    ...(own.length > 0
      ? [
          isKube
            ? `KUBE-* chains are kube-proxy's and the kubelet's; of the others are ${own.join(", ")}.`
            : `Of the iptables rules are ${own.join(", ")}.`,
        ]
      : []),
    ...(sets.length > 0 ? ["One rule asks an ipset for many addresses."] : []),
    ...(routes.length > 0 && routes.length < states.length
      ? [`Routes to single pods: ${routes.join(", ")}; a bridge needs one for all.`]
      : []),
    ...(maps.length > 0 ? [`Most eBPF entries: ${maps.join("; ")}.`] : []),
  ].join(" ");
}

function owners(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .filter(([owner]) => owner !== KUBE)
    .sort(([, m], [, n]) => n - m)
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
