import { expect, test } from "vitest";
import { withoutTables } from "./nft-tables.ts";

// As nft 1.0.6 and 1.0.9 list what iptables-nft made, beside a table of somebody's own.
const RULESET = `# Warning: table ip filter is managed by iptables-nft, do not touch!
table ip filter {
	chain FORWARD {
		type filter hook forward priority filter; policy drop;
		xt match set  counter packets 3 bytes 180 jump POLICY
	}
}
table inet filter {
	chain c {
	}
}
table ip6 filter {
}
`;

test.each([
  [["ip filter", "ip6 filter"], ["table inet filter {"]],
  [["ip filter"], ["table inet filter {", "table ip6 filter {"]],
  [[], ["table ip filter {", "table inet filter {", "table ip6 filter {"]],
])("without %o", (names, left) => {
  const text = withoutTables(RULESET, new Set(names));
  expect(text.split("\n").filter((line) => line.startsWith("table"))).toEqual(left);
  expect(text.split("\n")).toHaveLength(RULESET.split("\n").length);
  expect(text).toContain("\tchain c {\n\t}\n}\n");
});
