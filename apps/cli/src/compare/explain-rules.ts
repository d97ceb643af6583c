import type { Comparison } from "./comparison.ts";
import { named } from "./explain-way.ts";
import type { ConnectionFigures } from "./finding.ts";
import { listed } from "./names-in-text.ts";

/** Why a first packet costs more than later ones, and what the look-ups are for. */
export function explainRules(comparison: Comparison): string[] {
  const far = named(
    comparison,
    comparison.acrossNodes?.found.map((walk) => walk?.direct),
  );
  const with_ = (
    count: (figures: ConnectionFigures) => number,
    text: (n: number, f: ConnectionFigures) => string,
  ) =>
    far.flatMap(([name, figures]) => {
      const n = count(figures);
      return n > 0 ? [`${name} ${text(n, figures)}`] : [];
    });
  const nat = with_(
    ({ first, later }) => natRules(first.rulesByTable) - natRules(later.rulesByTable),
    String,
  );
  const tunnel = with_(
    ({ first }) => first.tunnelRules,
    (n, { first }) => `${n} of ${first.rules}`,
  );
  const rest = with_(
    ({ later }) => later.rules,
    (_, { later }) => tables(later.rulesByTable),
  );
  const programs = with_(
    ({ first }) => first.programs,
    (n, { first }) => `${n} programs, ${first.lookups} look-ups`,
  );
  const asked = with_(({ first }) => first.flowMisses, String);
  return [
    ...(nat.length > 0
      ? [
          `Only a connection's first packet asks tables nat, conntrack remembers the answer; rules saved to another node: ${listed(nat)}.`,
        ]
      : []),
    ...(rest.length > 0 ? [`What each later packet still meets: ${rest.join("; ")}.`] : []),
    ...(tunnel.length > 0
      ? [
          `The tunnel's own packet passes the nodes' rules, too: of those for the first packet it met ${listed(tunnel)}.`,
        ]
      : []),
    ...(programs.length > 0
      ? [
          `eBPF programs ask maps where others have rules: ${programs.join("; ")} for the first packet to another node.`,
        ]
      : []),
    ...(asked.length > 0
      ? [
          `A flow that the datapath does not know is asked of its program: ${listed(asked)} times for the first packet, later ones find a flow.`,
        ]
      : []),
  ];
}

function natRules(byTable: Readonly<Record<string, number>>): number {
  return Object.entries(byTable).reduce(
    (sum, [table, n]) => sum + (/\bnat\b/.test(table) ? n : 0),
    0,
  );
}

function tables(byTable: Readonly<Record<string, number>>): string {
  return Object.entries(byTable)
    .map(([table, n]) => `${table.replace(/^iptables /, "")} ${n}`)
    .join(", ");
}
