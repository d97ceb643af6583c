import {
  Data,
  IPPROTO_TCP,
  IPPROTO_UDP,
  type IpAddress,
  IpPacket,
  parseIp,
  TcpSegment,
  UdpDatagram,
} from "@cnilab/net";
import fc from "fast-check";
import { expect, test } from "vitest";
import { Lab } from "../../../test/lab.ts";
import { Skb } from "../../skb.ts";
import { Trace } from "../../trace.ts";
import { type HookState, NF_INET_FORWARD, NFPROTO_IPV4 } from "../hooks.ts";
import { Chain } from "./chain.ts";
import { ExtensionState } from "./extension-state.ts";
import { RuleEntry } from "./rule.ts";
import { RuleParser } from "./rule-parser.ts";
import { Walk } from "./walk.ts";
import { splitWords } from "./words.ts";

// Few values of each kind, so that rules and packets meet.
const ADDRESSES = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.1.1"];
const PORTS = [80, 443, 53];
const DEVICES = ["left", "right"];

const address = fc.constantFrom(...ADDRESSES, "10.0.0.0/24", "0.0.0.0/0");
const part = fc.oneof(
  fc
    .tuple(fc.constantFrom("-d", "-d", "! -d", "-s", "! -s"), address)
    .map((words) => words.join(" "))
    .filter((text) => !/^! .* 0\.0\.0\.0/.test(text)),
  fc
    .tuple(fc.constantFrom("-i", "! -i", "-o"), fc.constantFrom(...DEVICES, "l+"))
    .map((words) => words.join(" ")),
);
const header = fc.uniqueArray(part, {
  maxLength: 3,
  selector: (text) => text.replace("! ", "").slice(0, 2),
});
const ports = fc.oneof(
  fc.constantFrom(...PORTS).map((port) => `--dport ${port}`),
  fc.constantFrom(...PORTS).map((port) => `! --dport ${port}`),
  fc.constant("--dport 50:90"),
  fc.constant("-m multiport --dports 53,80"),
  fc.constant("-m multiport ! --dports 53,80"),
  fc.constant("-m mark --mark 0x1 --dport 80"),
  fc.constant("-m statistic --mode nth --every 2 --packet 0 --dport 80"),
);
const protocol = fc.option(
  fc
    .tuple(fc.constantFrom("tcp", "udp"), fc.option(ports))
    .map(([name, port]) => `-p ${name} ${port ?? ""}`),
);
const rule = fc.tuple(header, protocol).map(([parts, rest]) => [...parts, rest ?? ""].join(" "));

const packet = fc
  .tuple(
    fc.constantFrom(...ADDRESSES),
    fc.constantFrom(...ADDRESSES),
    fc.boolean(),
    fc.constantFrom(...PORTS, 8080),
  )
  .map(([src, dst, isTcp, port]) => packetOf(parseIp(src), parseIp(dst), isTcp, port));

function packetOf(src: IpAddress, dst: IpAddress, isTcp: boolean, port: number): IpPacket {
  return isTcp
    ? new IpPacket(src, dst, IPPROTO_TCP, new TcpSegment(4000, port, 0))
    : new IpPacket(src, dst, IPPROTO_UDP, new UdpDatagram(4000, port, new Data(1)));
}

test("rules that are left out would not have matched, and would have left no trace", () => {
  fc.assert(
    fc.property(
      fc.array(rule, { minLength: 8, maxLength: 40 }),
      fc.array(packet, { minLength: 1, maxLength: 10 }),
      (texts, packets) => {
        const host = new Lab().host("host");
        const place = { table: "filter", chain: "FORWARD" };
        const entries = texts.map((text) => {
          const [parsed] = new RuleParser(4, splitWords(text), place).parse().rules;
          if (parsed === undefined) throw new Error(`no rule: ${text}`);
          return new RuleEntry(parsed, place, undefined);
        });
        const chain = new Chain(place, entries, undefined);
        for (const one of packets) {
          const walk = (memory: ExtensionState) =>
            new Walk(Skb.ofIp(one, undefined), state(host), memory);
          const dispatch = chain.dispatch;
          if (dispatch === null) continue;
          const first = walk(new ExtensionState());
          const tried = new Set([...dispatch.candidates(first), ...dispatch.others]);
          const linear = walk(new ExtensionState());
          entries.forEach((entry, i) => {
            if (tried.has(i)) return;
            expect(entry.rule.fits(linear)).toBe(false);
            // A counter of statistic would have moved.
            for (const match of entry.rule.matches) {
              if (!match.pure) expect(entry.rule.header.matches(linear)).toBe(false);
            }
          });
          expect([...dispatch.candidates(first)].sort((x, y) => x - y)).toEqual(
            dispatch.candidates(first),
          );
          expect([...dispatch.others].sort((x, y) => x - y)).toEqual(dispatch.others);
        }
      },
    ),
    { numRuns: 300 },
  );
});

function state(netns: HookState["netns"]): HookState {
  const dev = netns.device("eth0");
  return { netns, family: NFPROTO_IPV4, hook: NF_INET_FORWARD, in: dev, out: dev, okfn: () => {} };
}

/** What walking a packet through a table comes to: counts of each rule, and the marks they made. */
function outcome(rules: readonly string[], packets: readonly IpPacket[], padding: string): string {
  const host = new Lab().host("host", "10.9.0.1/24");
  host.sysctl.set("net.ipv4.ip_forward", 1);
  const tables = host.iptables(4);
  const target = (i: number) => (i % 5 === 4 ? "-j RETURN" : `-j MARK --xor-mark ${1 << (i % 20)}`);
  const lines = rules.map((text, i) => `-A BIG ${text} ${target(i)}\n`);
  tables.restore(`*mangle\n:BIG - [0:0]\n${lines.join(padding)}-A PREROUTING -j BIG\nCOMMIT\n`);
  for (const one of packets) {
    host.network.enqueue(host.device("eth0"), Skb.ofIp(one.clone(), undefined));
    host.network.run();
  }
  return tables
    .counts("mangle", "BIG")
    .filter((_, i) => padding === "" || i % 9 === 0)
    .map((count) => count.packets)
    .join();
}

test("a long chain, which is looked up, counts like one that is walked", () => {
  fc.assert(
    fc.property(
      fc.array(rule, { minLength: 1, maxLength: 7 }),
      fc.array(packet, { maxLength: 6 }),
      (rules, packets) => {
        // Eight rules for addresses that no packet has stand between any two.
        const padding = Array.from(
          { length: 8 },
          (_, i) => `-A BIG -d 10.8.0.${i + 1} -j DROP\n`,
        ).join("");
        expect(outcome(rules, packets, padding)).toBe(outcome(rules, packets, ""));
      },
    ),
    { numRuns: 200 },
  );
});

test.each<[services: number, dst: string, evaluated: number]>([
  [100, "10.96.0.7", 8],
  [5000, "10.96.0.7", 8],
  [5000, "10.96.19.135", 5000],
  [5000, "10.1.1.1", 5000],
])("of %d rules, a packet to %s makes the kernel evaluate %d", (services, dst, evaluated) => {
  const host = new Lab().host("host", "10.9.0.1/24");
  const lines = Array.from(
    { length: services },
    (_, i) => `-A BIG -d 10.96.${i >> 8}.${i & 255}/32 -p udp -m udp --dport 53 -j ACCEPT\n`,
  );
  host.iptables(4).restore(`*raw\n:BIG - [0:0]\n${lines.join("")}-A PREROUTING -j BIG\nCOMMIT\n`);
  const trace = new Trace();
  const skb = Skb.ofIp(packetOf(parseIp("10.0.0.1"), parseIp(dst), false, 53), trace);
  host.network.enqueue(host.device("eth0"), skb);
  host.network.run();
  const hook = trace.steps.find((step) => step.kind === "hook");
  // One more: the rule that calls the chain.
  expect(hook).toMatchObject({ evaluated: evaluated + 1 });
});
