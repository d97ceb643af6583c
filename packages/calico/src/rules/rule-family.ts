import type { IpFamily } from "@cnilab/net";
import type { Rule } from "../calc/messages.ts";

/**
 * A rule with only the networks of one family; `undefined` where it says nothing about that family, because it names the other one or
 * because a list of networks has none of it (`felix/rules/policy.go` FilterRuleToIPVersion).
 */
export function ruleForFamily(rule: Rule, family: IpFamily): Rule | undefined {
  if (rule.ipVersion !== undefined && rule.ipVersion !== `IPV${family}`) return undefined;
  const srcNet = netsOf(rule.srcNet, family);
  const dstNet = netsOf(rule.dstNet, family);
  const notSrcNet = netsOf(rule.notSrcNet, family);
  const notDstNet = netsOf(rule.notDstNet, family);
  if (!srcNet || !dstNet || !notSrcNet || !notDstNet) return undefined;
  // Not any address at all: iptables would refuse it.
  const all = family === 4 ? "0.0.0.0/0" : "::/0";
  if (notSrcNet.includes(all) || notDstNet.includes(all)) return undefined;
  return { ...rule, srcNet, dstNet, notSrcNet, notDstNet };
}

/** `undefined` where there are networks, and none of the family. */
function netsOf(
  nets: readonly string[] | undefined,
  family: IpFamily,
): readonly string[] | undefined {
  if (nets === undefined || nets.length === 0) return [];
  const kept = nets.filter((net) => net.includes(":") === (family === 6));
  return kept.length === 0 ? undefined : kept;
}
