import { describe, expect, test } from "vitest";
import { Balancer } from "../../../test/balancer.ts";
import { Lab } from "../../../test/lab.ts";

/** A rule of OUTPUT as it is printed. */
function printed(match: string, family: 4 | 6 = 4): string {
  const [netns] = new Lab().machine("machine");
  const tables = netns.iptables(family);
  tables.append("filter", "OUTPUT", `${match} -j DROP`);
  return /^-A OUTPUT (.*) -j DROP$/m.exec(tables.save())?.[1] ?? "";
}

describe("-m ipvs, as iptables 1.8.9 prints it", () => {
  test.each([
    ["-m ipvs --ipvs", "-m ipvs --ipvs"],
    ["-m ipvs ! --ipvs", "-m ipvs ! --ipvs"],
    ["-m ipvs --ipvs --vport 80", "-m ipvs --vport 80"],
    [
      "-m ipvs --vproto tcp --vaddr 10.0.0.1 --vport http",
      "-m ipvs --vproto 6 --vaddr 10.0.0.1 --vport 80",
    ],
    ["-m ipvs --vaddr 10.0.0.0/24 ! --vport 80", "-m ipvs --vaddr 10.0.0.0/24 ! --vport 80"],
    ["-m ipvs --vaddr 10.0.0.5/24", "-m ipvs --vaddr 10.0.0.5/24"],
    ["-m ipvs --vdir ORIGINAL", "-m ipvs --vdir ORIGINAL"],
    ["-m ipvs --vmethod masq", "-m ipvs --vmethod MASQ"],
    ["-m ipvs --vportctl 21", "-m ipvs --vportctl 21"],
    [
      "-m ipvs ! --vaddr 10.0.0.1 --vproto 17 --vmethod IPIP",
      "-m ipvs --vproto 17 ! --vaddr 10.0.0.1 --vmethod IPIP",
    ],
    ["-m ipvs --vproto sctp", "-m ipvs --vproto 132"],
    ["-m ipvs --vport 70000", "-m ipvs --vport 4464"],
  ])("%s", (given, expected) => {
    expect(printed(given)).toBe(expected);
  });

  test("for IPv6", () => {
    expect(printed("-m ipvs --vaddr fd00::/64 --vport 80", 6)).toBe(
      "-m ipvs --vaddr fd00::/64 --vport 80",
    );
  });
});

test.each([
  ["-m ipvs", "IPVS: At least one option is required"],
  ["-m ipvs ! --ipvs --vport 80", "! --ipvs cannot be together with other options"],
  ["-m ipvs --vdir FOO", 'ipvs: Bad value for "--vdir" option: "FOO"'],
  ["-m ipvs --vproto 300", 'unknown protocol "300" specified'],
])("%s is refused", (match, message) => {
  expect(() => printed(match)).toThrow(message);
});

describe("a packet of 10.0.0.2 to the virtual server 10.96.0.10:80, on its way to 10.1.1.2", () => {
  test.each<[match: string, hit: boolean]>([
    ["--ipvs", true],
    ["! --ipvs", false],
    ["--vproto tcp", true],
    ["--vproto udp", false],
    ["! --vproto udp", true],
    ["--vaddr 10.96.0.10", true],
    ["--vaddr 10.96.0.0/24 --vport 80", true],
    ["--vaddr 10.97.0.0/24", false],
    ["! --vaddr 10.97.0.0/24", true],
    ["--vport 8080", false],
    ["--vdir ORIGINAL", true],
    ["--vdir REPLY", false],
    ["--vmethod MASQ", true],
    ["--vmethod GATE", false],
    ["--vportctl 0", false],
  ])("-m ipvs %s: %s", (match, hit) => {
    const b = new Balancer(1).serve(8080);
    const { ipvs, sysctl } = b.lb;
    ipvs.restore("-A -t 10.96.0.10:80 -s rr\n-a -t 10.96.0.10:80 -r 10.1.1.2:8080 -m");
    sysctl.set("net/ipv4/vs/conntrack", "1");
    b.lb.iptables(4).append("filter", "INPUT", "-m conntrack --ctstate INVALID -j DROP");
    b.lb.iptables(4).append("filter", "OUTPUT", `-d 10.1.1.2 -m ipvs ${match} -j DROP`);
    expect(b.ask("10.96.0.10", 80)).toBe(hit ? "timeout" : 1);
  });
});
