import { Choice } from "./generate/choice.ts";
import { flow } from "./generate/flows.ts";
import { ipset } from "./generate/ipsets.ts";
import { iptablesMatch } from "./generate/iptables-match.ts";
import { iptablesRule } from "./generate/iptables-rules.ts";
import { layout } from "./generate/layout.ts";
import { nftables } from "./generate/nftables.ts";
import { Plan } from "./generate/plan.ts";
import { policy, routes } from "./generate/routes.ts";
import { scenes } from "./generate/scenes.ts";
import { sequence } from "./generate/sequences.ts";
import { serviceFlows, services } from "./generate/services.ts";
import { sysctl } from "./generate/sysctls.ts";
import type { Step } from "./topology.ts";

/** A random small network and flows through it, the same for the same seed. */
export function generate(seed: number, flows: number): Step[] {
  const choice = Choice.of(seed);
  const plan = new Plan();
  layout(plan, choice.fork("layout"));
  routes(plan, choice.fork("routes"));
  if (choice.chance(20)) {
    settings(plan, choice, true);
    sequence(plan, choice.fork("sequence"));
    return plan.steps;
  }
  const proxied = choice.chance(20) ? services(plan, choice.fork("services")) : [];
  // Beside kube-proxy's rules seldom others: they would hide what those do.
  if (proxied.length === 0 || choice.chance(30)) settings(plan, choice, false);
  scenes(plan, choice.fork("scenes"));
  const sent = choice.fork("flows");
  for (let left = flows; left > 0; ) {
    const toService = proxied.length > 0 && sent.chance(75);
    const next = toService ? serviceFlows(plan, sent, proxied) : [flow(plan, sent)];
    for (const each of next) plan.add({ do: "flow", flow: each });
    left -= next.length;
  }
  return plan.steps;
}

/** Policy routes, sysctls and rules, some of each: too many would let nothing through. */
function settings(plan: Plan, choice: Choice, ordered: boolean): void {
  const rules = choice.fork("policy");
  rules.some(2, () =>
    policy(plan, rules, (netns, family, chain) =>
      iptablesMatch(plan, rules, { netns, family, table: "mangle", chain }),
    ),
  );
  const values = choice.fork("sysctls");
  values.some(4, () => sysctl(plan, values));
  const sets = choice.fork("ipsets");
  if (sets.chance(40)) for (let n = sets.between(1, 4); n > 0; n--) ipset(plan, sets);
  const iptables = choice.fork("iptables");
  iptables.some(ordered ? 12 : 6, () => iptablesRule(plan, iptables, { ordered }));
  const tables = choice.fork("nftables");
  if (tables.chance(ordered ? 70 : 40)) nftables(plan, tables, ordered);
}
