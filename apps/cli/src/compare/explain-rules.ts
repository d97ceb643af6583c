import type { Comparison } from "./comparison.ts";
import { named } from "./explain-way.ts";
import type { ConnectionFigures } from "./finding.ts";
import { told } from "./names-in-text.ts";

/** Why a first packet costs more than later ones, and what the look-ups are for: all of the way to another node. */
export function explainRules(comparison: Comparison): string {
  const far = named(
    comparison,
    comparison.acrossNodes?.found.map((walk) => walk?.direct),
  );
  const count = (
    of: (figures: ConnectionFigures) => number,
    text: (n: number, figures: ConnectionFigures) => string,
  ) =>
    told(
      far.map(([name, figures]) => {
        const n = of(figures);
        return [name, n > 0 ? text(n, figures) : undefined];
      }),
    );
  const nat = count(
    ({ first, later }) => natRules(first.rulesByTable) - natRules(later.rulesByTable),
    String,
  );
  const rest = count(
    ({ later }) => later.rules,
    (_, { later }) => tables(later.rulesByTable),
  );
  const tunnel = count(
    ({ first }) => first.tunnelRules,
    (n, { first }) => `${n} of ${first.rules}`,
  );
  const asked = count(({ first }) => first.flowMisses, String);
  return [
    ...(nat.length > 0
      ? [
          `To another node, only first packets ask tables nat (conntrack remembers the answer): ${nat.join(", ")} rules.`,
        ]
      : []),
    ...(rest.length > 0 ? [`Later ones still meet ${rest.join("; ")}.`] : []),
    ...(tunnel.length > 0
      ? [
          `Nodes look at the tunnel's own packet, too: of the first packet's rules that makes ${tunnel.join(", ")}.`,
        ]
      : []),
    ...(asked.length > 0
      ? [`Flows that a datapath did not know were asked of its program: ${asked.join(", ")}.`]
      : []),
  ].join(" ");
}

function natRules(byTable: Readonly<Record<string, number>>): number {
  return Object.entries(byTable).reduce(
    (sum, [table, n]) => sum + (/\bnat\b/.test(table) ? n : 0),
    0,
  );
}

/** Base chains of one nftables table together. */
function tables(byTable: Readonly<Record<string, number>>): string {
  const counts = new Map<string, number>();
  for (const [name, n] of Object.entries(byTable)) {
    const table = NFT_CHAIN.exec(name)?.[1] ?? name.replace(/^iptables /, "");
    counts.set(table, (counts.get(table) ?? 0) + n);
  }
  return [...counts].map(([table, n]) => `${table} ${n}`).join(", ");
}

/** As `ip kube-proxy filter-forward`; of iptables there are a program and a table, as `ip6tables nat`. */
const NFT_CHAIN = /^(\S+ \S+) \S+$/;
