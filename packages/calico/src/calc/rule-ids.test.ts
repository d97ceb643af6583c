import { expect, test } from "vitest";
import type { Rule } from "./messages.ts";
import { withRuleIds } from "./rule-ids.ts";

// Ids that Calico's own code (felix/calc/rule_convert.go at 87c15906f2) gives these rules as the only ones of a policy.
test.each<readonly [what: string, seed: string, rule: Omit<Rule, "ruleId">, id: string]>([
  [
    "types of ICMP, also none, are hashed behind all else",
    "pol-in-default/a-very-long-policy-name-number-0",
    {
      action: "allow",
      dstNet: ["10.244.0.2/31", "10.244.0.0/24"],
      icmpType: 3,
      ipVersion: "IPV4",
      notIcmpTypeCode: { type: 8, code: 3 },
      protocol: { name: "icmp" },
    },
    "b1a09mhkAuh-lS6Z",
  ],
  [
    "annotations are hashed",
    "pol-in-default/a-very-long-policy-name-number-0",
    {
      action: "next-tier",
      icmpTypeCode: { type: 8, code: 3 },
      ipVersion: "IPV4",
      metadata: { annotations: { a: "b" } },
      notIcmpType: 3,
      protocol: { name: "icmp" },
    },
    "WK_l24R6V163oxVM",
  ],
])("%s", (_, seed, rule, id) => {
  expect(withRuleIds([rule], seed).map(({ ruleId }) => ruleId)).toEqual([id]);
});
