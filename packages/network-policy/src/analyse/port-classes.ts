import { allPorts, type IpProtocol, PROTOCOLS } from "../policy/ip-protocol.ts";
import type { NamedPortTerm, Policy, PortRangeTerm, PortTerm } from "../policy/policy.ts";
import { rulesOf } from "../policy/policy.ts";
import type { NamedPort } from "../policy/policy-endpoint.ts";

/** Destination ports of one protocol that all policies treat alike. */
export interface PortClass {
  readonly protocol: IpProtocol;
  /** In order, apart from each other, ends included. */
  readonly ranges: readonly (readonly [first: number, last: number])[];
}

/**
 * Cuts the ports of each protocol into the fewest classes: of those with ports, and of others that a rule names.
 * @param portLists each list of named ports that some endpoint has, once
 */
export function portClasses(
  policies: readonly Policy[],
  portLists: readonly (readonly NamedPort[])[],
): readonly PortClass[] {
  const terms = distinctTerms(policies);
  const named = terms.flatMap(({ protocol = "TCP" }) => [protocol]);
  return [...new Set([...PROTOCOLS, ...named])].flatMap((protocol) => {
    const ofProtocol = terms.filter((t) => t.protocol === undefined || t.protocol === protocol);
    return classesOf(
      protocol,
      ofProtocol.filter((t): t is PortRangeTerm => "first" in t),
      ofProtocol.filter((t): t is NamedPortTerm => "portName" in t),
      portLists,
    );
  });
}

function distinctTerms(policies: readonly Policy[]): readonly PortTerm[] {
  const terms = new Map<string, PortTerm>();
  for (const { rule } of rulesOf(policies)) {
    for (const term of [...(rule.ports ?? []), ...(rule.notPorts ?? [])]) {
      const name = "portName" in term ? term.portName : `${term.first}-${term.last}`;
      terms.set(`${term.protocol ?? ""} ${name}`, term);
    }
  }
  return [...terms.values()];
}

function classesOf(
  protocol: IpProtocol,
  ranges: readonly PortRangeTerm[],
  names: readonly NamedPortTerm[],
  portLists: readonly (readonly NamedPort[])[],
): readonly PortClass[] {
  // Who has a port of that number and name: two numbers are alike only where the same endpoints have them.
  const havers = new Map<number, string>();
  portLists.forEach((ports, list) => {
    for (const named of ports) {
      const term = names.findIndex(({ portName }) => portName === named.name);
      if (named.protocol !== protocol || term < 0) continue;
      havers.set(named.port, `${havers.get(named.port) ?? ""} ${named.name}@${list}`);
    }
  });
  const changes = new Map<number, { begin: number[]; end: number[] }>();
  const changeAt = (port: number) => {
    let change = changes.get(port);
    if (change === undefined) {
      change = { begin: [], end: [] };
      changes.set(port, change);
    }
    return change;
  };
  const whole = allPorts(protocol);
  changeAt(whole.first);
  ranges.forEach(({ first, last }, term) => {
    changeAt(first).begin.push(term);
    changeAt(last + 1).end.push(term);
  });
  for (const port of havers.keys()) {
    changeAt(port);
    changeAt(port + 1);
  }
  const starts = [...changes.keys()].filter((port) => port <= whole.last).sort((x, y) => x - y);
  const inside = new Set<number>();
  const classes = new Map<string, [number, number][]>();
  starts.forEach((first, i) => {
    const { begin, end } = changeAt(first);
    for (const term of end) inside.delete(term);
    for (const term of begin) inside.add(term);
    const last = (starts[i + 1] ?? whole.last + 1) - 1;
    const alike = `${[...inside].sort((x, y) => x - y).join()}${havers.get(first) ?? ""}`;
    const found = classes.get(alike);
    const before = found?.at(-1);
    if (found === undefined) classes.set(alike, [[first, last]]);
    else if (before !== undefined && before[1] === first - 1) before[1] = last;
    else found.push([first, last]);
  });
  return [...classes.values()].map((found) => ({ protocol, ranges: found }));
}

/** The class that a port is in; -1 for those of protocols that no rule names. */
export function portClassOf(
  classes: readonly PortClass[],
  protocol: IpProtocol,
  port: number,
): number {
  return classes.findIndex(
    (each) =>
      each.protocol === protocol &&
      each.ranges.some(([first, last]) => port >= first && port <= last),
  );
}
