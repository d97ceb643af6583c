import type { IpFamily } from "@cnilab/net";
import type { TableFamily } from "./command.ts";
import type { Expression, FibExpression, SetReference } from "./expression.ts";
import type { Statement } from "./statement.ts";

const FAMILIES: Readonly<Record<TableFamily, readonly IpFamily[]>> = {
  ip: [4],
  ip6: [6],
  inet: [4, 6],
  bridge: [],
  arp: [],
  netdev: [],
};

/**
 * For packets of which families a rule turns connection tracking on (`nf_ct_netns_get`): those of the table,
 * or that of the addresses that it translates to (`nft_nat_init`). `notrack` turns nothing on.
 */
export function conntrackFamilies(statement: Statement, family: TableFamily): readonly IpFamily[] {
  if (statement.kind === "nat") {
    const own = statement.address === undefined ? undefined : statement.family;
    return own === undefined ? FAMILIES[family] : [own];
  }
  const asks = statement.kind === "ctCount" || expressionsOf(statement).some(mentionsCt);
  return asks ? FAMILIES[family] : [];
}

function mentionsCt(expression: Expression): boolean {
  switch (expression.kind) {
    case "ct":
      return true;
    case "binary":
      return mentionsCt(expression.left);
    case "concat":
      return expression.parts.some(mentionsCt);
    case "map":
      return mentionsCt(expression.key);
    default:
      return false;
  }
}

/** Sets and maps that a statement asks. */
export function referencesOf(statement: Statement): SetReference[] {
  return leavesOf(statement).filter((leaf) => leaf.kind === "setRef");
}

/** What a statement asks the routing tables. */
export function fibExpressionsOf(statement: Statement): FibExpression[] {
  return leavesOf(statement).filter((leaf) => leaf.kind === "fib");
}

/** What the expressions of a statement are put together from. */
function leavesOf(statement: Statement): Expression[] {
  const found: Expression[] = [];
  const visit = (expression: Expression): void => {
    switch (expression.kind) {
      case "map":
        visit(expression.key);
        visit(expression.mappings);
        return;
      case "binary":
        visit(expression.left);
        visit(expression.right);
        return;
      case "concat":
        for (const part of expression.parts) visit(part);
        return;
      default:
        found.push(expression);
    }
  };
  for (const expression of expressionsOf(statement)) visit(expression);
  return found;
}

/** What a statement reads, compares with and writes to. */
function expressionsOf(statement: Statement): Expression[] {
  const all = (...expressions: (Expression | undefined)[]) =>
    expressions.filter((expression) => expression !== undefined);
  switch (statement.kind) {
    case "match":
      return [statement.left, statement.right];
    case "vmap":
      return [statement.map];
    case "mangle":
      return [statement.target, statement.value];
    case "nat":
      return all(statement.address, statement.port);
    case "queue":
      return all(statement.to);
    case "setUpdate":
      return all(statement.set, statement.key, statement.data);
    default:
      return [];
  }
}
