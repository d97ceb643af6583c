// The same commands to the nft and kernel of this machine and to the model: both list the same, and refuse the same.
import { spawnSync } from "node:child_process";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Lab } from "../lab.ts";

const NAMESPACE = `nftdiff${process.pid}`;
const missing = whatIsMissing();

/** What each row finds. */
const TABLE = `table ip t {
  set s { type ipv4_addr; elements = { 1.1.1.1 }; }
  chain to { accept; }
  chain base { type filter hook forward priority 0; ip saddr @s jump to; }
}
`;

describe.skipIf(missing !== "")(`the real nft${missing}`, () => {
  beforeAll(() => {
    spawnSync("ip", ["netns", "add", NAMESPACE]);
  });
  afterAll(() => {
    spawnSync("ip", ["netns", "del", NAMESPACE]);
  });

  test.each<[commands: string]>([
    ["add table ip t2 { chain x { tcp dport { 1, 2 } accept; }\n }"],
    ["add rule ip t to counter packets 3 bytes 4 drop"],
    ["insert rule ip t to ip saddr 1.2.3.4"],
    ["insert rule ip t base index 0 ip saddr 1.2.3.4 drop"],
    ["add rule ip t base handle 4 ip saddr 1.2.3.4"],
    ["add rule ip t base handle 5 ip saddr 1.2.3.4"],
    ["replace rule ip t base handle 5 drop"],
    ["delete rule ip t base handle 5"],
    ["delete rule ip t to handle 99"],
    ["delete chain ip t to"],
    ["delete chain ip t base"],
    ["flush chain ip t base\ndelete chain ip t to"],
    ["flush table ip t"],
    ["delete table ip t"],
    ["delete table ip nosuch"],
    ["create table ip t"],
    ["delete table ip t; add table ip t"],
    ['add table inet z { comment "a table"; }'],
    ['add table ip t { comment "too late"; }'],
    ["rename chain ip t to other"],
    ["add chain ip t base { policy drop; }"],
    ["add chain ip t base { type filter hook forward priority 0; policy drop; }"],
    ["create chain ip t to"],
    ["add chain ip t n { type nat hook prerouting priority dstnat + 5; }"],
    ["add chain ip t n { type route hook output priority mangle; }"],
    [
      'add chain ip t n { type nat hook postrouting priority srcnat; comment "hi"; }\nadd rule ip t n masquerade',
    ],
    ["add rule ip t to masquerade"],
    ["add rule ip t to jump to"],
    ["add rule ip t to jump base"],
    ["add rule ip t to jump nosuch"],
    ["add rule ip t nosuch accept"],
    ["add rule ip nosuch to accept"],
    ["delete set ip t s"],
    ["flush set ip t s"],
    ["add element ip t s { 2.2.2.2, 3.3.3.3, 1.1.1.1 }"],
    ["create element ip t s { 1.1.1.1 }"],
    ["delete element ip t s { 1.1.1.1 }"],
    ["delete element ip t s { 9.9.9.9 }"],
    ["add element ip t nosuch { 1.1.1.1 }"],
    ["add set ip t s { type ipv4_addr; }"],
    ["add set ip t s { type ipv6_addr; }"],
    ["add map ip t m { type ipv4_addr : verdict; elements = { 1.1.1.1 : jump to }; }"],
    ["add map ip t m { type ipv4_addr : verdict; }\nadd element ip t m { 1.1.1.1 : jump nosuch }"],
    ["add map ip t m { type ipv4_addr : ipv4_addr; }\nadd element ip t m { 1.1.1.1 : 2.2.2.2 }"],
    [
      "add set ip t i { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 1.1.1.1-1.1.1.9 }; }",
    ],
    [
      "add set ip t i { type ipv4_addr; flags interval; auto-merge; }\nadd element ip t i { 10.0.0.0/8, 10.1.0.0/16, 11.0.0.0/8 }",
    ],
    [
      "add set ip t p { type inet_service; flags interval; elements = { 1-5, 80, 443, 1000-2000, 30000-32767, 9, 7 }; }",
    ],
    [
      "add set ip t p { type inet_proto . inet_service; elements = { tcp . 80, udp . 53, 47 . 1 }; }",
    ],
    [
      'add set ip t d { type ipv4_addr; timeout 1h; gc-interval 10s; size 10; policy memory; comment "c"; }',
    ],
    ["add set ip t m { type mark; elements = { 1, 2, 0x10, 300, 5, 6, 7 }; }"],
    ['add set ip t n { type ifname; elements = { "eth0", "lo", "veth12", "docker0" }; }'],
    ['add set ip t n { type ifname; flags interval; elements = { "eth*", "lo" }; }'],
    ["add set ip t e { type ether_addr; elements = { 02:00:00:00:00:02, 02:00:00:00:00:01 }; }"],
    ["add set ip t st { type ct_state; elements = { new, established, related }; }"],
    ["add set ip t ty { typeof ip saddr . tcp dport; elements = { 1.1.1.1 . 80 }; }"],
    ["add set ip t co { type ipv4_addr; counter; elements = { 1.1.1.1 }; }"],
    [
      "add counter ip t c1\nadd quota ip t q { over 10 mbytes; }\nadd limit ip t l { rate 5/second; }\nadd rule ip t to counter name c1",
    ],
    ["add counter ip t c1\nadd rule ip t to counter name c1\ndelete counter ip t c1"],
    ["add map ip t om { type ipv4_addr : counter; }"],
    ["flush ruleset"],
  ])("%s", (commands) => {
    const [netns] = new Lab().machine("test");
    nft(["flush", "ruleset"]);
    nft(["-f", "-"], TABLE);
    netns.nftables.apply(TABLE);
    const refused = nft(["-f", "-"], commands).error;
    const apply = () => netns.nftables.apply(commands);
    if (refused === "") apply();
    else expect(apply).toThrow(refused);
    expect(netns.nftables.list()).toBe(nft(["-s", "list", "ruleset"]).output);
    const real = JSON.parse(nft(["-j", "list", "ruleset"]).output) as Listing;
    expect(ruleset(netns.nftables.json() as unknown as Listing)).toEqual(ruleset(real));
  });
});

interface Listing {
  readonly nftables: { readonly table?: { handle: number }; readonly metainfo?: unknown }[];
}

/** Without the tool's version, and without the handles of tables, of which this kernel has made more. */
function ruleset({ nftables }: Listing): unknown[] {
  return nftables.slice(1).map((item) => {
    return item.table === undefined ? item : { table: { ...item.table, handle: 0 } };
  });
}

/** @returns what nft printed, and `LINE:COLUMN-COLUMN: Error: WHAT` without the hint behind it */
function nft(args: readonly string[], input = ""): { output: string; error: string } {
  const command = ["netns", "exec", NAMESPACE, "nft", ...args];
  const { stdout, stderr, status } = spawnSync("ip", command, { input, encoding: "utf8" });
  if (status === 0) return { output: stdout, error: "" };
  const error = /:(\d+:\d+-\d+: Error: [^;\n]*)/.exec(stderr)?.[1];
  if (error === undefined) throw new Error(`nft ${args.join(" ")}: ${stderr}`);
  return { output: stdout, error };
}

function whatIsMissing(): string {
  if (process.getuid?.() !== 0) return " (skipped: not root)";
  for (const tool of ["ip", "nft"]) {
    if (spawnSync("which", [tool]).status !== 0) return ` (skipped: no ${tool})`;
  }
  const version = spawnSync("nft", ["--version"], { encoding: "utf8" }).stdout;
  if (!version.includes("v1.0.6 ")) return ` (skipped: not nft 1.0.6 but ${version.trim()})`;
  const probe = `ip netns add ${NAMESPACE} && ip netns exec ${NAMESPACE} nft list ruleset; ip netns del ${NAMESPACE}`;
  return spawnSync("sh", ["-ec", probe]).status === 0 ? "" : " (skipped: no namespaces)";
}
