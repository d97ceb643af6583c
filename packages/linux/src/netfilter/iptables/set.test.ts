import { describe, expect, test } from "vitest";
import { Router, tcp, udp } from "../../../test/router.ts";
import { ChainLayer } from "./chain-layer.ts";

const UDP = udp("10.0.1.2:4000", "10.0.2.2:53", 72);

function router(...sets: string[]): Router {
  const made = new Router();
  made.netns.ipsets.restore(sets.join("\n"));
  return made;
}

describe("a rule that asks a set", () => {
  test.each<[set: string, match: string, hit: boolean]>([
    ["create s hash:ip\nadd s 10.0.1.2", "--match-set s src", true],
    ["create s hash:ip\nadd s 10.0.1.2", "--match-set s dst", false],
    ["create s hash:ip\nadd s 10.0.1.2", "! --match-set s dst", true],
    ["create s hash:net\nadd s 10.0.2.0/24", "--match-set s dst", true],
    // As weave-npc names them: whatever can be printed, 31 characters of it.
    [
      "create weave-QnsvID.Z:s!Ifw][/QKs3C~;h hash:ip\nadd weave-QnsvID.Z:s!Ifw][/QKs3C~;h 10.0.1.2",
      "--match-set weave-QnsvID.Z:s!Ifw][/QKs3C~;h src",
      true,
    ],
    ["create s hash:ip,port\nadd s 10.0.2.2,udp:53", "--match-set s dst,dst", true],
    ["create s hash:ip,port\nadd s 10.0.2.2,tcp:53", "--match-set s dst,dst", false],
    ["create s hash:ip,port\nadd s 10.0.2.2,udp:53", "--match-set s dst,src", false],
    ["create s hash:ip,port\nadd s 10.0.2.2,udp:53", "--match-set s dst", false],
    ["create s hash:ip,port,ip\nadd s 10.0.2.2,udp:53,10.0.1.2", "--match-set s dst,dst,src", true],
    ["create m hash:ip\nadd m 10.0.1.2\ncreate s list:set\nadd s m", "--match-set s src", true],
    ["create s bitmap:port range 1-100\nadd s 53", "--match-set s dst", true],
  ])("%j %s: %s", (sets, match, hit) => {
    const made = router(sets);
    made.netns.iptables(4).append("filter", "FORWARD", `-m set ${match} -j DROP`);
    made.pass(UDP, made.left);
    expect(made.drop?.rule !== undefined).toBe(hit);
  });

  test("sees what becomes of the set, also when another one takes its place", () => {
    const made = router("create s hash:ip", "create t hash:ip", "add t 10.0.1.2");
    made.netns.iptables(4).append("filter", "FORWARD", "-m set --match-set s src -j DROP");
    const dropped = () => {
      made.pass(UDP, made.left);
      return made.drop?.rule !== undefined;
    };
    const seen = [dropped()];
    for (const line of ["add s 10.0.1.2", "del s 10.0.1.2", "swap s t"]) {
      made.netns.ipsets.run(line);
      seen.push(dropped());
    }
    expect(seen).toEqual([false, true, false, true]);
  });

  test("holds the set, as long as it is there", () => {
    const made = router("create s hash:ip", "create t hash:ip");
    const { ipsets } = made.netns;
    const tables = made.netns.iptables(4);
    const references = () => ["s", "t"].map((name) => ipsets.find(name)?.references);
    tables.append("filter", "FORWARD", "-m set --match-set s src -m set ! --match-set t dst");
    expect(references()).toEqual([1, 1]);
    expect(() => ipsets.run("destroy s")).toThrow("in use by a kernel component");
    tables.append("raw", "PREROUTING", "-j SET --add-set s src");
    expect(references()).toEqual([2, 1]);
    const layer = ChainLayer.parse(4, "*nat\n:A - [0:0]\n-A A -m set --match-set t src\nCOMMIT\n");
    tables.setLayer("x", layer);
    expect(references()).toEqual([2, 2]);
    expect(() =>
      tables.append("filter", "FORWARD", "-m set --match-set s src -j NOWHERE"),
    ).toThrow();
    tables.flush("raw");
    tables.setLayer("x", undefined);
    tables.flush("filter");
    expect(references()).toEqual([0, 0]);
    ipsets.run("destroy s");
  });

  test("needs the set", () => {
    const tables = router().netns.iptables(4);
    expect(() => tables.append("filter", "FORWARD", "-m set --match-set nope src")).toThrow(
      "iptables v1.8.9 (nf_tables): Set nope doesn't exist.\n",
    );
    const layer = ChainLayer.parse(
      4,
      "*nat\n:A - [0:0]\n-A A -m set --match-set nope src\nCOMMIT\n",
    );
    expect(() => tables.setLayer("x", layer)).toThrow("Set nope doesn't exist.");
  });
});

describe("the SET target", () => {
  test.each<[type: string, target: string, elements: string[]]>([
    ["hash:ip", "--add-set s src", ["10.0.1.2"]],
    ["hash:ip", "--add-set s dst", ["10.0.2.2"]],
    ["hash:net", "--add-set s src", ["10.0.1.2"]],
    ["hash:ip,port", "--add-set s dst,dst", ["10.0.2.2,udp:53"]],
    ["hash:ip,port,ip", "--add-set s src,dst,dst", ["10.0.1.2,udp:53,10.0.2.2"]],
    ["hash:net,iface", "--add-set s src,src", ["10.0.1.2,left"]],
    ["bitmap:port range 0-65535", "--add-set s dst", ["53"]],
    ["hash:ip timeout 100", "--add-set s src --timeout 7", ["10.0.1.2 timeout 7"]],
    ["hash:ip,port", "--add-set s src", []],
  ])("%s %s", (type, target, elements) => {
    const made = router(`create s ${type}`);
    made.netns.iptables(4).append("raw", "PREROUTING", `-j SET ${target}`);
    made.pass(UDP, made.left);
    made.pass(UDP, made.left);
    expect(made.netns.ipsets.find("s")?.elements()).toEqual(elements);
  });

  test("--exist starts the time anew, --del-set deletes", () => {
    const made = router("create s hash:ip timeout 10");
    const tables = made.netns.iptables(4);
    tables.append("raw", "PREROUTING", "-p udp -j SET --add-set s src --exist");
    tables.append("raw", "PREROUTING", "-p tcp -j SET --del-set s src");
    made.pass(UDP, made.left);
    made.advance(6);
    made.pass(UDP, made.left);
    made.advance(6);
    expect(made.netns.ipsets.find("s")?.elements()).toEqual(["10.0.1.2 timeout 4"]);
    made.pass(tcp("10.0.1.2:4000", "10.0.2.2:80", "S"), made.left);
    expect(made.netns.ipsets.find("s")?.elements()).toEqual([]);
  });
});
