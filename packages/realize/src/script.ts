import {
  datapathsOf,
  type NetDevice,
  type NetNamespace,
  type Network,
  NF_INET_FORWARD,
  NF_INET_LOCAL_IN,
  NF_INET_LOCAL_OUT,
  NF_INET_POST_ROUTING,
  NF_INET_PRE_ROUTING,
  NFPROTO_IPV4,
  NFPROTO_IPV6,
  type Segment,
} from "@cnilab/linux";
import type { IpFamily } from "@cnilab/net";
import { birthplace, bridgeLines, bridgeMtu, isOfModule, linkAdd, linkSet } from "./devices.ts";
import { ipsecLines } from "./ipsec.ts";
import { ipvsText } from "./ipvs.ts";
import { featuresOf, type KernelFeature } from "./kernel-features.ts";
import { NamespaceNames, namespacesOf, segmentsOf } from "./namespace-names.ts";
import { datapathLines, flowLines } from "./openvswitch.ts";
import { addressLines, neighbourLines, routeLines, ruleLines } from "./routing.ts";
import {
  delayLines,
  faultRules,
  plugLines,
  switchLines,
  type WireNames,
  wireNames,
} from "./segments.ts";
import { deviceSysctls, namespaceSysctls } from "./sysctls.ts";
import { trafficControlLines } from "./traffic-control.ts";
import { UnrealizableError } from "./unrealizable-error.ts";
import { wireguardConfigurations } from "./wireguard.ts";

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
  /** What the kernel must have. */
  readonly features: ReadonlySet<KernelFeature>;
  /** In the order in which they are loaded. */
  readonly ruleSets: readonly RuleSet[];
  /** For bash. What it makes goes when it ends, unless `finished=1` comes last. */
  readonly text: string;
}

/** The commands that make the state of a network out of real namespaces. @throws UnrealizableError */
export function script(network: Network, options: ScriptOptions = {}): Script {
  for (const { os, hostname } of network.kernels.values()) {
    if (os !== "linux") throw new UnrealizableError(`${hostname} does not run Linux`);
  }
  const names = new NamespaceNames(options.prefix ?? "cnilab", network);
  const all = [...network.kernels.values()].flatMap(namespacesOf);
  const segments = segmentsOf(network);
  const wires = wireNames(network);
  const ownTunnels = all.some(({ devices }) => devices.some(isOfModule));
  const ruleSets = [
    ...all.flatMap((netns) => ruleSetsOf(netns, names.of(netns))),
    ...segments.flatMap((segment) => segmentRules(segment, names.of(segment), wires)),
  ];
  const parts = [
    `prefix=${names.prefix}`,
    PROLOGUE,
    ownTunnels ? TAKE_TUNNELS : "",
    ...names.all.map((name) => `netns ${name}`),
    ...all.map((netns) => sysctlCommand(names.of(netns), namespaceSysctls(netns))),
    ...segments.map((segment) => batch("ip", names.of(segment), switchLines())),
    ...linkBatches(all, names, wires),
    ownTunnels ? "give_back" : "",
    ...all.flatMap((netns) =>
      datapathLines(netns).map((line) => `ip netns exec ${names.of(netns)} ovs-dpctl ${line}`),
    ),
    ...segments.flatMap((segment) => [
      batch("ip", names.of(segment), plugLines(segment, wires)),
      batch("tc", names.of(segment), delayLines(segment, wires)),
    ]),
    ...all.flatMap((netns) => stateOf(netns, names.of(netns))),
    ...ruleSets.map((rules) => `ip netns exec ${rules.netns} ${loading(rules)}`),
  ];
  return {
    prefix: names.prefix,
    namespaces: names.all,
    features: featuresOf(network),
    ruleSets,
    text: `${parts.filter((part) => part !== "").join("\n")}\n`,
  };
}

/** A script as a file of its own: bash, as root, makes the namespaces and leaves them, and takes them away when it is told `down`. */
export function standalone({ text }: Script): string {
  return `#!/usr/bin/env bash
# The state of a cnilab model in network namespaces. As root: "bash FILE" makes them, "bash FILE down" takes them away.
${text}finished=1
`;
}

/** What stops half-way must leave nothing, and what is there already is not ours. */
const PROLOGUE = `
set -eu
record=/run/cnilab-realize/$prefix
undo() {
  [ ! -e "$record" ] || while read -r name; do ip netns del "$name" 2>/dev/null || true; done < "$record"
  rm -f "$record"
}
if [ "\${1:-}" = down ]; then undo; exit; fi
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

/**
 * A new namespace has `tunl0` and `sit0` before all others once their modules are there, and source addresses are looked for
 * in the order of the devices. These come when it is their turn, as on a machine whose module was loaded then. The setting is
 * the machine's: one at a time holds it, and gives it back.
 */
const TAKE_TUNNELS = `
tunnels=net.core.fb_tunnels_only_for_init_net
exec 9> /run/cnilab-tunnels.lock
flock 9
taken=$(sysctl -n $tunnels)
give_back() {
  trap '[ "$finished" ] || undo' EXIT
  sysctl -qw $tunnels=$taken
  exec 9>&-
}
trap 'give_back; [ "$finished" ] || undo' EXIT
sysctl -qw $tunnels=1
`.trim();

/** All devices, lower ones first: those of one namespace in the order of their making. */
function linkBatches(
  all: readonly NetNamespace[],
  names: NamespaceNames,
  wires: WireNames,
): string[] {
  const made = new Set<NetDevice>();
  return all.map((netns) => {
    const moved = all.flatMap(({ devices }) =>
      devices.filter((dev) => dev.netns !== netns && birthplace(dev) === netns),
    );
    const lines = [...netns.devices, ...moved].flatMap((dev) => {
      if (birthplace(dev) !== netns) return [];
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
      ...own.flatMap(bridgeMtu),
      ...devices.filter((dev) => dev.up).map((dev) => `link set dev ${dev.name} up`),
      ...addressLines(netns),
      ...routeLines(netns, 4),
      ...ruleLines(netns, 4),
      ...neighbourLines(netns),
      ...ipsecLines(netns),
    ]),
    batch("ip -6", name, [...routeLines(netns, 6), ...ruleLines(netns, 6)]),
    batch("bridge", name, bridgeLines(netns)),
    batch("tc", name, trafficControlLines(netns)),
    ...[...datapathsOf(netns).values()].flatMap((datapath) => {
      const lines = flowLines(datapath);
      const command = `ip netns exec ${name} ovs-dpctl add-flows ${datapath.name} -`;
      return lines.length === 0 ? [] : [input(command, lines.join("\n"))];
    }),
    ...wireguardConfigurations(netns).map((dev) =>
      input(`ip netns exec ${name} wg setconf ${shellWord(dev.name)} /dev/stdin`, dev.text),
    ),
  ];
}

/** What a namespace is told, in the order in which it keeps: of hooks with equal priority the newest is met first. */
function ruleSetsOf(netns: NetNamespace, name: string): RuleSet[] {
  const counters = [...netns.nfacct.all].map((object) => `${object.name}\n`);
  const iptables = ([4, 6] as const).map((family) => {
    const tool = family === 4 ? "iptables" : "ip6tables";
    const text = netns.findIptables(family)?.save() ?? "";
    return { set: [`${tool}-restore`, text] as const, isNewer: isNewerThanNftables(family, netns) };
  });
  const sets: (readonly [string, string])[] = [
    ["xargs -n 1 nfacct add", counters.join("")],
    ["ipset restore", netns.ipsets.save()],
    ...iptables.flatMap(({ set, isNewer }) => (isNewer ? [] : [set])),
    ["nft -f -", netns.findNftables()?.list() ?? ""],
    ...iptables.flatMap(({ set, isNewer }) => (isNewer ? [set] : [])),
    ["ipvsadm -R", ipvsText(netns)],
  ];
  return sets
    .filter(([, text]) => text.trim() !== "")
    .map(([command, text]) => ({ netns: name, command, text }));
}

/** Where rules of both are most often: of hooks that disagree the first one decides. */
const HOOKS_BY_USE = [
  NF_INET_FORWARD,
  NF_INET_PRE_ROUTING,
  NF_INET_POST_ROUTING,
  NF_INET_LOCAL_IN,
  NF_INET_LOCAL_OUT,
] as const;

/** Whether tables of iptables came to their hooks after base chains of nftables with the same priority. */
function isNewerThanNftables(family: IpFamily, { hooks }: NetNamespace): boolean {
  const protocol = family === 4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
  for (const hook of HOOKS_BY_USE) {
    const outer = hooks?.at(protocol, hook) ?? [];
    for (const functions of [outer, ...outer.map((fn) => fn.functions ?? [])]) {
      const met = functions.filter(({ name }) => /^(nft|ip6?tables) /.test(name));
      const next = met.findIndex(
        ({ name, priority }, i) =>
          met[i + 1]?.priority === priority &&
          met[i + 1]?.name.startsWith("nft ") !== name.startsWith("nft "),
      );
      if (next >= 0) return !met[next]?.name.startsWith("nft ");
    }
  }
  return false;
}

function segmentRules(segment: Segment, netns: string, wires: WireNames): RuleSet[] {
  const text = faultRules(segment, wires);
  return text === "" ? [] : [{ netns, command: "nft -f -", text }];
}

function sysctlCommand(netns: string, assignments: readonly string[]): string {
  if (assignments.length === 0) return "";
  const words = assignments.map(shellWord);
  return `ip netns exec ${netns} sysctl -qw \\\n  ${words.join(" \\\n  ")}`;
}

/** One word for bash: devices of collected machines may have any name that the kernel allows. */
function shellWord(word: string): string {
  return /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
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
