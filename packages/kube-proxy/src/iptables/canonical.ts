/** Chains that the real kube-proxy fills in the random order of a Go map. */
const UNORDERED = new Set([
  "KUBE-SERVICES",
  "KUBE-EXTERNAL-SERVICES",
  "KUBE-NODEPORTS",
  "KUBE-PROXY-FIREWALL",
]);
const TABLES = ["filter", "mangle", "nat"];
const BUILT_IN = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];

/**
 * iptables-save text in an order that two runs agree on: tables and chains by name (built-in ones
 * first, in the order of the hooks), counters and comments gone, and rules sorted where kube-proxy's
 * own order is random.
 * @param unordered chains whose rules are sorted
 */
export function canonicalIptables(
  text: string,
  unordered: ReadonlySet<string> = UNORDERED,
): string {
  const out: string[] = [];
  const tables = splitTables(text);
  for (const name of TABLES) {
    const table = tables.get(name);
    if (table === undefined) continue;
    const chains = [...table.keys()].sort(byHookThenName);
    out.push(`*${name}`);
    for (const chain of chains) out.push(`:${chain} ${table.get(chain)?.policy}`);
    for (const chain of chains) {
      const rules = table.get(chain)?.rules ?? [];
      out.push(...(unordered.has(chain) ? [...rules].sort(byText) : rules));
    }
    out.push("COMMIT");
  }
  return `${out.join("\n")}\n`;
}

interface Chain {
  readonly policy: string;
  readonly rules: string[];
}

function splitTables(text: string): Map<string, Map<string, Chain>> {
  const tables = new Map<string, Map<string, Chain>>();
  let table = new Map<string, Chain>();
  for (const line of text.split("\n")) {
    if (line.startsWith("*")) {
      table = new Map();
      tables.set(line.slice(1), table);
    } else if (line.startsWith(":")) {
      const [name = "", policy = ""] = line.slice(1).split(" ");
      table.set(name, { policy, rules: [] });
    } else if (line.startsWith("-A ")) {
      table.get(line.split(" ", 2)[1] ?? "")?.rules.push(line);
    }
  }
  return tables;
}

function byHookThenName(x: string, y: string): number {
  const hooks = BUILT_IN.indexOf(x) - BUILT_IN.indexOf(y);
  if (BUILT_IN.includes(x) && BUILT_IN.includes(y)) return hooks;
  if (BUILT_IN.includes(x) || BUILT_IN.includes(y)) return BUILT_IN.includes(x) ? -1 : 1;
  return compare(x, y);
}

/** The jump to KUBE-NODEPORTS must stay last. */
function byText(x: string, y: string): number {
  const last = Number(x.endsWith("-j KUBE-NODEPORTS")) - Number(y.endsWith("-j KUBE-NODEPORTS"));
  return last !== 0 ? last : compare(x, y);
}

function compare(x: string, y: string): number {
  return x < y ? -1 : x > y ? 1 : 0;
}
