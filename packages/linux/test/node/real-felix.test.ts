// Felix's chains and sets, loaded with the tools of this machine and into the model: both print the same.
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { NetNamespace } from "../../src/index.ts";
import { Lab } from "../lab.ts";
import {
  ipsetText,
  iptablesText,
  nftText,
  scenarioCases,
  staticCases,
  vectorsMissing,
} from "./felix-texts.ts";

const NAMESPACE = `felix${process.pid}`;
const missing = whatIsMissing();
const cases = [...staticCases(), ...scenarioCases()];

describe.skipIf(missing !== "")(`the real tools${missing}`, () => {
  beforeAll(() => {
    spawnSync("ip", ["netns", "add", NAMESPACE]);
  });
  afterAll(() => {
    spawnSync("ip", ["netns", "del", NAMESPACE]);
  });

  test.each(cases.filter((row) => iptablesText(row) !== ""))("iptables: $name", (row) => {
    const [netns] = new Lab().machine("test");
    const tool = row.family === 4 ? "iptables" : "ip6tables";
    real("nft", ["flush", "ruleset"]);
    real("ipset", ["destroy"]);
    real("ipset", ["restore"], ipsetText(row));
    netns.ipsets.restore(ipsetText(row));
    real(`${tool}-restore`, ["--noflush"], iptablesText(row));
    const own = netns.iptables(row.family);
    own.restore(iptablesText(row), { noflush: true });
    for (const [, table] of iptablesText(row).matchAll(/^\*(\w+)$/gm)) {
      expect(own.save(table)).toBe(plain(real(`${tool}-save`, ["-t", table as string])));
    }
    expect(sets(netns.ipsets.save())).toEqual(sets(real("ipset", ["save"])));
  });

  test.each(cases.filter((row) => Object.keys(row.nftables).length > 0))("nft: $name", (row) => {
    const [netns] = new Lab().machine("test");
    compareNft(netns, nftText(row));
  });

  test.each(IPTABLES)("IPv%d %s %s", (family, table, rule) => {
    const [netns] = new Lab().machine("test");
    const tool = family === 4 ? "iptables" : "ip6tables";
    const text = `*${table}\n:cali-x - -\n-A cali-x ${rule}\nCOMMIT\n`;
    real("nft", ["flush", "ruleset"]);
    real(`${tool}-restore`, ["--noflush"], text);
    const own = netns.iptables(family);
    own.restore(text, { noflush: true });
    expect(own.save(table)).toBe(plain(real(`${tool}-save`, ["-t", table])));
  });

  test.each(NFTABLES)("%s %s", (family, rule) => {
    const [netns] = new Lab().machine("test");
    const nat =
      family === "arp"
        ? "type filter hook output priority 0"
        : "type nat hook postrouting priority 110";
    const dnat = "type nat hook prerouting priority -100";
    const text = [
      `add table ${family} calico`,
      `add chain ${family} calico base { ${/masq|snat/.test(rule) ? nat : /dnat/.test(rule) ? dnat : "type filter hook output priority 0"} ; }`,
      `add chain ${family} calico x`,
      `add map ${family} calico dispatch { type ifname : verdict ; }`,
      `add element ${family} calico dispatch { "cali0" : goto x }`,
      `add element ${family} calico dispatch { "cali1" : goto x }`,
      ...(family === "arp"
        ? []
        : [
            `add set ${family} calico ports { type ipv4_addr . inet_proto . inet_service ; }`,
            `add element ${family} calico ports { 10.0.0.1 . tcp . 80 }`,
            `add element ${family} calico ports { 10.0.0.1 . udp . 53 }`,
            `add set ${family} calico pairs { type ipv4_addr . ipv4_addr ; }`,
          ]),
      `add rule ${family} calico base ${rule}`,
    ].join("\n");
    compareNft(netns, text);
  });
});

/** Actions and matches of felix/iptables and felix/nftables that no golden chain has, by what brings them. */
const IPTABLES: readonly (readonly [family: 4 | 6, table: string, rule: string])[] = [
  [4, "filter", "-m limit --limit 100/sec --limit-burst 5 --jump MARK --set-mark 0x80000/0x80000"],
  [
    4,
    "filter",
    "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -m connlimit --connlimit-above 3 --connlimit-mask 0 -j REJECT --reject-with tcp-reset",
  ],
  [4, "filter", "--jump REJECT"],
  [4, "filter", "--jump REJECT --reject-with icmp-port-unreachable"],
  [4, "filter", "-p icmp -m icmp ! --icmp-type 8/0 --jump RETURN"],
  [4, "filter", "-p icmp -m icmp --icmp-type 255 --jump RETURN"],
  [4, "filter", "-p 1 -m icmp --icmp-type 3/3 --jump RETURN"],
  [6, "filter", "-p icmpv6 -m icmp6 --icmpv6-type 130 --jump ACCEPT"],
  [6, "filter", "-p 58 -m icmp6 --icmpv6-type 136 --jump ACCEPT"],
  [6, "filter", "-p icmpv6 -m icmp6 ! --icmpv6-type 1/3 --jump ACCEPT"],
  [4, "filter", "--jump NFLOG --nflog-group 1 --nflog-prefix DPI|np/a/b --nflog-size 80"],
  [4, "filter", "--jump NFLOG --nflog-group 1 --nflog-prefix DPI|np/a/b --nflog-range 80"],
  [4, "filter", "--jump NFLOG --nflog-group 2 --nflog-prefix x"],
  [4, "filter", "-p udplite -m multiport --source-ports 1,2:3 --jump RETURN"],
  [4, "filter", "-p sctp -m multiport ! --source-ports 1,2:3 --jump RETURN"],
  [4, "filter", "-p 132 -m multiport --destination-ports 1:65535 --jump RETURN"],
  [4, "filter", "-p 6 -m multiport --destination-ports 22 --jump RETURN"],
  [4, "filter", "! -p 17 --jump RETURN"],
  [4, "filter", "-m mark ! --mark 0x100000/0xfff00000 --jump RETURN"],
  [4, "filter", "-m mark --mark 0x100000/0xfff00000 --jump RETURN"],
  [4, "filter", "--jump MARK --set-mark 0x100000/0xfff00000"],
  [4, "filter", "-m conntrack ! --ctstate RELATED,ESTABLISHED --jump DROP"],
  [4, "filter", "-m addrtype --dst-type LOCAL --jump RETURN"],
  [4, "filter", "-m addrtype ! --dst-type LOCAL --jump RETURN"],
  [4, "filter", '--jump LOG --log-prefix "calico-packet: " --log-level 5'],
  [4, "filter", '--jump LOG --log-prefix "a longer prefix of Felix: " --log-level 5'],
  [6, "filter", "--source fd00::/64 ! --destination fd00:1::1/128 --jump DROP"],
  [4, "mangle", "--jump DSCP --set-dscp 46"],
  [4, "mangle", "--jump CONNMARK --save-mark --mask 0x100000"],
  [4, "mangle", "--jump CONNMARK --restore-mark --mask 0x100000"],
  [4, "mangle", "--jump CONNMARK --set-mark 0x100000/0x100000"],
  [4, "nat", "--destination 10.0.0.1/32 --jump DNAT --to-destination 10.244.0.5"],
  [4, "nat", "-p tcp --dport 8080 --jump DNAT --to-destination 10.244.0.5:80"],
  [6, "nat", "-p tcp --dport 8080 --jump DNAT --to-destination [fd00::5]:80"],
  [
    4,
    "nat",
    "--source 10.244.0.5/32 --destination 10.244.0.5/32 --jump SNAT --to-source 10.0.0.1 --random-fully",
  ],
  [4, "nat", "-p tcp --jump MASQUERADE --to-ports 32768-65535 --random-fully"],
  [
    4,
    "nat",
    "-m addrtype ! --src-type LOCAL --limit-iface-out -m addrtype --src-type LOCAL --jump MASQUERADE",
  ],
  [4, "raw", "-m rpfilter --invert --validmark --jump DROP"],
  [4, "raw", "-m rpfilter --invert --validmark --accept-local --jump DROP"],
  [6, "raw", "-m rpfilter --invert --validmark --jump DROP"],
  [4, "raw", "--jump NOTRACK"],
  [4, "raw", "--in-interface cali+ --source 192.168.7.0/24 --jump ACCEPT"],
];

const NFTABLES: readonly (readonly [family: "ip" | "ip6" | "arp", rule: string])[] = [
  ["ip", "counter limit rate over 100/second burst 5 packets drop"],
  ["ip", "counter ct count over 3 reject with tcp reset"],
  ["ip", "counter reject"],
  ["ip", "meta l4proto icmp icmp type != 8 code != 0 counter return"],
  ["ip", "meta l4proto icmp icmp type 255 counter return"],
  ["ip6", "meta l4proto icmpv6 icmpv6 type 130 counter accept"],
  ["ip6", "meta l4proto 58 icmpv6 type 136 counter accept"],
  ["ip6", "meta l4proto icmpv6 icmpv6 type != 1 counter accept"],
  ["ip6", "ip6 saddr fd00::/64 ip6 daddr != fd00:1::1/128 counter drop"],
  ["ip", 'counter log prefix "DPI|np/a/b" snaplen 80 group 1'],
  ["ip", 'counter log prefix "x" group 2'],
  ["ip", "meta l4proto udplite udplite sport { 1, 2-3 } counter return"],
  ["ip", "meta l4proto sctp sctp sport != { 1, 2-3 } counter return"],
  ["ip", "meta l4proto 132 sctp dport { 1-65535 } counter return"],
  ["ip", "meta l4proto 6 tcp dport { 22 } counter return"],
  ["ip", "meta l4proto 17 udp dport { 0-65535 } counter return"],
  ["ip", "meta l4proto != 17 counter return"],
  ["ip", "meta mark & 0xfff00000 != 0x100000 counter return"],
  ["ip", "meta mark & 0xfff00000 == 0x100000 counter return"],
  ["ip", "counter meta mark set mark & 0xfffff ^ 0x100000"],
  ["ip", "ct state != related,established counter drop"],
  ["ip", "fib daddr type local counter return"],
  ["ip", "fib daddr type != local counter return"],
  ["ip", "counter ip dscp set 46"],
  ["ip6", "counter ip6 dscp set 46"],
  ["ip", "counter ct mark set mark"],
  ["ip", "counter ct mark set mark & 0x100000"],
  ["ip", "counter meta mark set ct mark"],
  ["ip", "counter meta mark set ct mark & 0x100000"],
  ["ip", "counter ct mark set ct mark & 0xffefffff ^ 0x100000"],
  ["ip", "ip daddr 10.0.0.1/32 counter dnat to 10.244.0.5"],
  ["ip", "meta l4proto tcp tcp dport 8080 counter dnat to 10.244.0.5:80"],
  ["ip6", "meta l4proto tcp tcp dport 8080 counter dnat to [fd00::5]:80"],
  ["ip", "ip saddr 10.244.0.5/32 ip daddr 10.244.0.5/32 counter snat to 10.0.0.1 fully-random"],
  ["ip", "meta l4proto tcp counter masquerade to :32768-65535 fully-random"],
  ["ip", "counter masquerade"],
  // Not at the output hook.
  ["ip6", "fib saddr . mark . iif oif 0 counter drop"],
  ["ip6", "fib daddr . iif type local counter drop"],
  ["ip", "counter meta pkttype set host"],
  ["ip", "limit rate 100/second burst 5 packets counter accept"],
  ["ip", "limit rate 10/minute counter accept"],
  ["ip", "iifname any-interface counter accept"],
  ["ip", "iifname cali1234567890a counter accept"],
  ["ip", "oifname vxlan.calico counter accept"],
  ["ip", "ip saddr . meta l4proto . th sport @ports counter accept"],
  ["ip", "ip daddr . meta l4proto . th dport != @ports counter accept"],
  ["ip", "ip saddr . ip daddr @pairs counter accept"],
  ["ip", "counter continue"],
  ["ip", 'continue comment "cali:abcdefghijklmnop; A comment of Felix"'],
  ["arp", "oifname cali0 arp operation reply arp saddr ip 10.244.0.5 counter drop"],
  ["arp", "oifname vmap @dispatch"],
];

interface Listing {
  readonly nftables: { readonly table?: object; readonly metainfo?: unknown }[];
}

/** Without the tool's version and the numbers of tables, of which this kernel has made more. */
function ruleset({ nftables }: Listing): unknown[] {
  return nftables.slice(1).map((item) => {
    return item.table === undefined ? item : { table: { ...item.table, handle: 0 } };
  });
}

function compareNft(netns: NetNamespace, text: string): void {
  real("nft", ["flush", "ruleset"]);
  const refused = refusal(() => real("nft", ["-f", "-"], text));
  expect(refusal(() => netns.nftables.apply(text))).toBe(refused);
  expect(netns.nftables.list()).toBe(real("nft", ["-s", "list", "ruleset"]));
  const listing = JSON.parse(real("nft", ["-j", "list", "ruleset"])) as Listing;
  expect(ruleset(netns.nftables.json() as unknown as Listing)).toEqual(ruleset(listing));
}

/** `LINE:COLUMN-COLUMN: Error: WHAT` of nft; Felix writes ICMP codes so that nft takes them for nothing it knows. */
function refusal(load: () => void): string {
  try {
    load();
  } catch (error) {
    return /\d+:\d+-\d+: Error: [^;\n]*/.exec(String(error))?.[0] ?? String(error);
  }
  return "";
}

/** Without comments and counts, which depend on the moment. */
function plain(save: string): string {
  return save
    .split("\n")
    .filter((line) => !line.startsWith("#"))
    .map((line) => line.replace(/\[\d+:\d+\]$/, "[0:0]").trimEnd())
    .join("\n");
}

/** The kernel lists members by their hashes, whose seed it draws. */
function sets(save: string): string[] {
  return save
    .split("\n")
    .map((line) => line.replace(/ (bucketsize|initval) \S+/g, ""))
    .toSorted();
}

function real(tool: string, args: readonly string[], input = ""): string {
  const { stdout, stderr, status }: SpawnSyncReturns<string> = spawnSync(
    "ip",
    ["netns", "exec", NAMESPACE, tool, ...args],
    { input, encoding: "utf8" },
  );
  if (status !== 0) throw new Error(`${tool} ${args.join(" ")}: ${stderr}`);
  return stdout;
}

function whatIsMissing(): string {
  if (vectorsMissing) return " (skipped: no ../shared)";
  if (process.getuid?.() !== 0) return " (skipped: not root)";
  for (const tool of ["ip", "nft", "iptables-restore", "ipset"]) {
    if (spawnSync("which", [tool]).status !== 0) return ` (skipped: no ${tool})`;
  }
  const nft = spawnSync("nft", ["--version"], { encoding: "utf8" }).stdout;
  if (!nft.includes("v1.0.6 ")) return ` (skipped: not nft 1.0.6 but ${nft.trim()})`;
  const iptables = spawnSync("iptables", ["--version"], { encoding: "utf8" }).stdout;
  if (!iptables.includes("v1.8.9 (nf_tables)")) return ` (skipped: not iptables 1.8.9 (nf_tables))`;
  const probe = `ip netns add ${NAMESPACE} && ip netns exec ${NAMESPACE} nft list ruleset; ip netns del ${NAMESPACE}`;
  return spawnSync("sh", ["-ec", probe]).status === 0 ? "" : " (skipped: no namespaces)";
}
