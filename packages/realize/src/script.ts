import { type NetDevice, type NetNamespace, type Network, Nic } from "@cnilab/linux";
import { bridgeLines, linkAdd, linkSet, UnrealizableError, type WireNames } from "./devices.ts";
import { NamespaceNames, namespacesOf, segmentsOf } from "./namespace-names.ts";
import { addressLines, neighbourLines, routeLines, ruleLines } from "./routing.ts";
import { deviceSysctls, namespaceSysctls } from "./sysctls.ts";

export interface ScriptOptions {
  /** What the names of all namespaces begin with; default `cnilab`. */
  readonly prefix?: string;
}

/** Rules of one namespace, as the tool reads them that loads them. */
export interface RuleSet {
  readonly netns: string;
  /** As `iptables-restore`, `ipset restore`. */
  readonly command: string;
  readonly text: string;
}

/** A network as commands for the real tools. */
export interface Script {
  readonly prefix: string;
  /** Namespaces that it makes. */
  readonly namespaces: readonly string[];
  /** Kinds of devices that the kernel must have. */
  readonly deviceKinds: ReadonlySet<string>;
  /** In the order in which they are loaded. */
  readonly ruleSets: readonly RuleSet[];
  /** For bash. */
  readonly text: string;
}

/** The commands that make the state of a network out of real namespaces. @throws UnrealizableError */
export function script(network: Network, options: ScriptOptions = {}): Script {
  const names = new NamespaceNames(options.prefix ?? "cnilab", network);
  const all = [...network.kernels.values()].flatMap(namespacesOf);
  const wires = wireNames(network);
  const ruleSets = all.flatMap((netns) => ruleSetsOf(netns, names.of(netns)));
  const parts = [
    `prefix=${names.prefix}`,
    PROLOGUE,
    ...names.all.map((name) => `netns ${name}`),
    ...all.map((netns) => sysctlCommand(names.of(netns), namespaceSysctls(netns))),
    ...segmentsOf(network).map((segment) =>
      batch("ip", names.of(segment), [
        "link add name wire mtu 65535 type bridge",
        "link set dev wire type bridge mcast_snooping 0",
        "link set dev wire up",
      ]),
    ),
    ...linkBatches(all, names, wires),
    ...segmentsOf(network).map((segment) =>
      batch(
        "ip",
        names.of(segment),
        [...segment.nics].map((nic) => `link set dev ${wires.get(nic)} master wire up`),
      ),
    ),
    ...all.flatMap((netns) => stateOf(netns, names.of(netns))),
    ...ruleSets.map((rules) => `ip netns exec ${rules.netns} ${loading(rules)}`),
  ];
  return {
    prefix: names.prefix,
    namespaces: names.all,
    deviceKinds: new Set(all.flatMap((n) => n.devices).flatMap(realKind)),
    ruleSets,
    text: `${parts.filter((part) => part !== "").join("\n")}\n`,
  };
}

/** What stops half-way must leave nothing, and what is there already is not ours. */
const PROLOGUE = `
set -eu
record=/run/cnilab-realize/$prefix
undo() {
  [ ! -e "$record" ] || while read -r name; do ip netns del "$name" 2>/dev/null || true; done < "$record"
  rm -f "$record"
}
netns() {
  if [ -e "/run/netns/$1" ]; then echo "there is a namespace $1 already" >&2; exit 1; fi
  echo "$1" >> "$record"
  ip netns add "$1"
}
mkdir -p "\${record%/*}"
if [ -e "$record" ]; then echo "$prefix is realised already: $record" >&2; exit 1; fi
finished=
trap '[ "$finished" ] || undo' EXIT
trap 'exit 130' INT TERM HUP
`.trim();

function realKind(dev: NetDevice): string[] {
  if (dev.isLoopback) return [];
  if (dev instanceof Nic) return ["veth"];
  return [dev.kind === "dummy" ? "bridge" : dev.kind];
}

function wireNames(network: Network): WireNames {
  const wires = new Map<Nic, string>();
  for (const segment of segmentsOf(network)) {
    for (const nic of segment.nics) wires.set(nic, `w${wires.size + 1}`);
  }
  return wires;
}

/** All devices, lower ones first: those of one namespace in the order of their making. */
function linkBatches(
  all: readonly NetNamespace[],
  names: NamespaceNames,
  wires: WireNames,
): string[] {
  const made = new Set<NetDevice>();
  return all.map((netns) => {
    const lines = netns.devices.flatMap((dev) => {
      const own = linkAdd(dev, names, wires, made);
      made.add(dev);
      return own;
    });
    return batch("ip", names.of(netns), lines);
  });
}

function stateOf(netns: NetNamespace, name: string): string[] {
  const { devices } = netns;
  const own = devices.filter((dev) => !dev.isLoopback);
  return [
    sysctlCommand(
      name,
      own.flatMap((dev) => deviceSysctls(netns, dev)),
    ),
    batch("ip", name, [
      ...own.flatMap(linkSet),
      ...devices.filter((dev) => dev.up).map((dev) => `link set dev ${dev.name} up`),
      ...addressLines(netns),
      ...routeLines(netns, 4),
      ...ruleLines(netns, 4),
      ...neighbourLines(netns),
    ]),
    batch("ip -6", name, [...routeLines(netns, 6), ...ruleLines(netns, 6)]),
    batch("bridge", name, bridgeLines(netns)),
    ...trafficControl(netns, name),
  ];
}

function trafficControl(netns: NetNamespace, name: string): string[] {
  return netns.devices.flatMap(({ name: dev, tc }) => {
    const lines: string[] = [];
    if (tc?.root !== undefined) {
      const { handle, rate, burst, limit } = tc.root;
      lines.push(
        `qdisc add dev ${dev} root handle ${handle} tbf rate ${8 * rate}bit burst ${burst} limit ${limit}`,
      );
    }
    if (tc?.redirect !== undefined) {
      throw new UnrealizableError(`${netns}/${dev}: redirection by tc is not realised`);
    }
    return lines.length === 0 ? [] : [batch("tc", name, lines)];
  });
}

function ruleSetsOf(netns: NetNamespace, name: string): RuleSet[] {
  const counters = [...netns.nfacct.all].map((object) => `${object.name}\n`);
  const sets: [string, string][] = [
    ["xargs -n 1 nfacct add", counters.join("")],
    ["ipset restore", netns.ipsets.save()],
    ["iptables-restore", netns.findIptables(4)?.save() ?? ""],
    ["ip6tables-restore", netns.findIptables(6)?.save() ?? ""],
    ["nft -f -", netns.findNftables()?.list() ?? ""],
  ];
  return sets
    .filter(([, text]) => text.trim() !== "")
    .map(([command, text]) => ({ netns: name, command, text }));
}

function sysctlCommand(netns: string, assignments: readonly string[]): string {
  if (assignments.length === 0) return "";
  const words = assignments.map((word) => (/\s/.test(word) ? `'${word}'` : word));
  return `ip netns exec ${netns} sysctl -qw \\\n  ${words.join(" \\\n  ")}`;
}

function batch(
  tool: "ip" | "ip -6" | "bridge" | "tc",
  netns: string,
  lines: readonly string[],
): string {
  if (lines.length === 0) return "";
  return input(`${tool} -n ${netns} -batch -`, `${lines.join("\n")}\n`);
}

/** The command with what it reads. */
export function loading({ command, text }: RuleSet): string {
  return input(command, text);
}

function input(command: string, text: string): string {
  return `${command} <<'END'\n${text}${text.endsWith("\n") ? "" : "\n"}END`;
}
