import type { Expected, NamespaceState, Row, State, TcState } from "./case.ts";
import { type Actual, Names } from "./names.ts";

/** All differences between a recording and its replay, one a line; see "Compare loosely" of the vectors' README. */
export function differences(expected: Expected, replayed: Actual): string[] {
  const names = Names.learn(expected, replayed);
  const actual = names.replace(replayed);
  const found: string[] = [];
  for (const [i, step] of expected.steps.entries()) {
    const there = actual.steps[i];
    const loose = addresslessBridges(step.state ?? expected.final);
    const where = `step ${i}`;
    found.push(
      ...different(
        `${where} plugins`,
        unpinned(step.plugins, loose),
        unpinned(there?.plugins, loose),
      ),
    );
    if (step.state !== undefined) {
      found.push(...differentStates(where, step.state, there?.state ?? {}));
    }
  }
  found.push(...differentStates("final", expected.final, actual.final));
  return found;
}

function differentStates(where: string, expected: State, actual: State): string[] {
  const loose = addresslessBridges(expected);
  return Object.entries(expected).flatMap(([name, state]) => {
    const there = actual[name];
    if (there === undefined) return [`${where} ${name}: no such namespace`];
    return differentNamespaces(`${where} ${name}`, state, there, loose);
  });
}

function differentNamespaces(
  where: string,
  expected: NamespaceState,
  actual: NamespaceState,
  loose: ReadonlySet<string>,
): string[] {
  const found: string[] = [];
  for (const key of ["links", "addrs", "routes"] as const) {
    // Anycast addresses of routers, which nobody uses, are not modelled.
    const recorded = expected[key].filter((row) => row["type"] !== "anycast");
    const wanted = recorded.map((row) => known(row, KNOWN[key], loose));
    const rows = key === "routes" ? settledRoutes(expected, actual) : actual[key];
    const there = rows.map((row) => known(row, KNOWN[key], loose));
    found.push(...differentSets(`${where} ${key}`, wanted, there));
  }
  if (expected.fdb !== undefined) {
    const wanted = ownEntries(expected.fdb, loose);
    found.push(...differentSets(`${where} fdb`, wanted, ownEntries(actual.fdb ?? [], loose)));
  }
  for (const key of ["iptables", "ip6tables"] as const) {
    if (expected[key] === undefined) continue;
    const wanted = chainsOf(expected[key]);
    found.push(...different(`${where} ${key}`, wanted, chainsOf(actual[key] ?? [])));
  }
  if (expected.nftables !== undefined) {
    const wanted = linesOf(expected.nftables);
    found.push(...different(`${where} nftables`, wanted, linesOf(actual.nftables ?? [])));
  }
  const shaping = (actual as { shaping?: Row }).shaping ?? {};
  found.push(...different(`${where} tc`, meaningOf(expected.tc ?? {}), shaping));
  const sysctl = actual.sysctl ?? {};
  found.push(...different(`${where} sysctl`, expected.sysctl ?? {}, sysctl));
  return found;
}

/**
 * The local route of an IPv6 address comes when duplicate address detection is over, a second later or
 * so; some snapshots were faster. Here there is nothing to wait for.
 */
function settledRoutes(expected: NamespaceState, actual: NamespaceState): Row[] {
  const local = (row: Row) => row["type"] === "local" && row["family"] === "inet6";
  const same = (row: Row) => (other: Row) =>
    local(other) && other["dst"] === row["dst"] && other["dev"] === row["dev"];
  return actual.routes.filter((row) => !local(row) || expected.routes.some(same(row)));
}

/** Columns that a replay has, too. */
const KNOWN = {
  links: ["ifname", "mtu", "address", "master", "flags", "promiscuity", "kind", "bridge", "port"],
  addrs: [
    "ifname",
    "family",
    "local",
    "prefixlen",
    "scope",
    "broadcast",
    "label",
    "nodad",
    "secondary",
  ],
  routes: [
    "type",
    "dst",
    "gateway",
    "dev",
    "table",
    "protocol",
    "scope",
    "prefsrc",
    "metric",
    "flags",
    "pref",
    "family",
  ],
} as const;

const PORT = ["state", "hairpin", "learning", "flood", "mcast_flood", "bcast_flood", "isolated"];

function known(row: Row, columns: readonly string[], loose: ReadonlySet<string>): Row {
  const found: Record<string, unknown> = {};
  for (const column of columns) if (row[column] !== undefined) found[column] = row[column];
  if (Array.isArray(found["flags"])) found["flags"] = found["flags"].toSorted();
  if (found["port"] !== undefined) found["port"] = known(found["port"] as Row, PORT, loose);
  if (loose.has(String(row["ifname"]))) delete found["address"];
  return found;
}

/** Bridges that nobody gave an address: which port's MAC they have is chance. */
function addresslessBridges(state: State): Set<string> {
  const host = state["host"];
  const bridges = (host?.links ?? []).filter((link) => link["kind"] === "bridge");
  const names = bridges.map((link) => String(link["ifname"]));
  return new Set(names.filter((name) => !host?.addrs.some((addr) => addr["ifname"] === name)));
}

/** Results without the MACs of such bridges, and of their ports: one of them has the same. */
function unpinned(value: unknown, loose: ReadonlySet<string>): unknown {
  if (Array.isArray(value)) return value.map((item) => unpinned(item, loose));
  if (value === null || typeof value !== "object") return value;
  const row = value as Row;
  const entries = Object.entries(row)
    .filter(([key]) => !(key === "mac" && loose.has(String(row["name"]))))
    .map(([key, item]) => [key, unpinned(item, loose)]);
  return Object.fromEntries(entries);
}

/** Without what was learned, and without what belongs to a bridge itself whose MAC is chance. */
function ownEntries(fdb: readonly Row[], loose: ReadonlySet<string>): Row[] {
  return fdb.filter((row) => row["state"] !== "" && !loose.has(String(row["ifname"])));
}

/** Each chain with its policy and its rules in order, by table. */
function chainsOf(lines: readonly string[]): Record<string, Record<string, string[]>> {
  const tables: Record<string, Record<string, string[]>> = {};
  let chains: Record<string, string[]> = {};
  for (const line of lines) {
    if (line.startsWith("*")) {
      chains = {};
      tables[line.slice(1)] = chains;
    } else if (line.startsWith(":")) {
      const [name = "", policy = ""] = line.slice(1).split(" ");
      chains[name] = [policy];
    } else if (line.startsWith("-A ")) {
      chains[line.split(" ")[1] ?? ""]?.push(line);
    }
  }
  return tables;
}

function linesOf(lines: readonly string[]): string[] {
  return lines.map((line) => line.trim()).filter((line) => line !== "");
}

/** tc's listing as rates, and the device that packets are redirected to. */
function meaningOf(tc: Readonly<Record<string, TcState>>): Row {
  const found: Record<string, Row> = {};
  for (const [dev, { qdisc, ingress_filters: filters }] of Object.entries(tc)) {
    const tbf = qdisc.find(({ kind }) => kind === "tbf")?.options as
      | { readonly rate: number; readonly burst: number; readonly lat: number }
      | undefined;
    const redirect = /Egress Redirect to device (\S+)\)/.exec(filters.join("\n"))?.[1];
    const row = {
      ...(tbf && { rate: tbf.rate, burst: tbf.burst, latencyMs: Math.round(tbf.lat / 1000) }),
      ...(redirect !== undefined && { redirect }),
    };
    if (Object.keys(row).length > 0) found[dev] = row;
  }
  return found;
}

function differentSets(where: string, expected: readonly Row[], actual: readonly Row[]): string[] {
  const wanted = expected.map(canonical);
  const there = actual.map(canonical);
  return [
    ...wanted.filter((row) => !there.includes(row)).map((row) => `${where}: missing ${row}`),
    ...there.filter((row) => !wanted.includes(row)).map((row) => `${where}: too much ${row}`),
  ];
}

export function different(where: string, expected: unknown, actual: unknown): string[] {
  const wanted = canonical(expected);
  const there = canonical(actual);
  return wanted === there ? [] : [`${where}: expected ${wanted}`, `${where}: found    ${there}`];
}

/** JSON with keys in order. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) =>
    item !== null && typeof item === "object" && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([x], [y]) => (x < y ? -1 : 1)))
      : item,
  );
}
