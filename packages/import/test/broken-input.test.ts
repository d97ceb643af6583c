// Whatever is in the folder: it is read, or one clear line says which file is wrong and where.
import { InputError } from "@cnilab/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { importState, type SavedFiles } from "../src/index.ts";
import { recorded, recordedBut } from "./recorded.ts";

const LINK = { ifindex: 2, ifname: "eth0", flags: [], mtu: 1500, address: "02:00:00:00:00:01" };

function links(...changes: object[]): string {
  return JSON.stringify(changes.map((change) => ({ ...LINK, ...change })));
}

describe("what the collect script could not read is named", () => {
  test("a node of which its devices are missing", () => {
    expect(() => importState(recordedBut({ "links.json": undefined }))).toThrow(
      /^node1: has no links\.json; collect it again where `ip -d -j link` works, or take the folder away$/,
    );
  });

  test("namespaces that were there, as far as nothing is known of their devices", () => {
    const files = recordedBut({ "netns/pod/links.json": undefined });
    const listed = `${files.get("node1/namespaces.txt")}4711 gone gone\n`;
    const { nodes, unmodelled } = importState(
      new Map([...files, ["node1/namespaces.txt", listed]]),
    );
    expect(unmodelled.of("node1")).toContain("namespaces, not collected: pod, gone");
    expect(nodes.get("node1")?.findNamespace("pod")).toBeUndefined();
  });
});

describe("broken input is one line with file and field or line", () => {
  test.each<[what: string, file: string, text: string, message: RegExp]>([
    [
      "truncated JSON",
      "links.json",
      '[{"ifindex": 1,\n"ifname"',
      /^node1\/links\.json: is not JSON \(.*\); collect it again$/,
    ],
    ["an object for a list", "links.json", "{}", /^node1\/links\.json: must be a JSON array$/],
    ["a number for a device", "links.json", "[7]", /^node1\/links\.json: \[0\] must be an object$/],
    ["no name", "links.json", '[{"ifindex":1}]', /^node1\/links\.json: \[0\]\.ifname is missing$/],
    ["index 0", "links.json", links({ ifindex: 0 }), /\[0\]\.ifindex must be from 1 to/],
    [
      "an index twice",
      "links.json",
      links({}, { ifname: "x" }),
      /^node1\/links\.json: two devices have index 2$/,
    ],
    [
      "a name twice",
      "links.json",
      links({}, { ifindex: 3 }),
      /^node1\/links\.json: two devices are named eth0$/,
    ],
    [
      "a name that is too long",
      "links.json",
      links({ ifname: "x".repeat(16) }),
      /\[0\]: the kernel would not have this \(device name/,
    ],
    ["a bad MAC", "links.json", links({ address: "zz" }), /\[0\]\.address "zz" is no MAC address$/],
    [
      "a vxlan without -d",
      "links.json",
      links({ linkinfo: { info_kind: "vxlan" } }),
      /info_data is missing; collect it with ip -d$/,
    ],
    [
      "a bad address",
      "addrs.json",
      '[{"ifname":"eth0","addr_info":[{"family":"inet","local":"1.2.3","prefixlen":8}]}]',
      /^node1\/addrs\.json: \[0\]\.addr_info\[0\]\.local "1\.2\.3" is no IP address$/,
    ],
    [
      "a bad length",
      "addrs.json",
      '[{"ifname":"eth0","addr_info":[{"family":"inet","local":"1.2.3.4","prefixlen":33}]}]',
      /prefixlen is too long$/,
    ],
    [
      "a device that is not there",
      "routes4.json",
      '[{"dst":"default","dev":"eth9"}]',
      /^node1\/routes4\.json: \[0\]\.dev "eth9" is no device of links\.json$/,
    ],
    [
      "a bad prefix",
      "routes6.json",
      '[{"dst":"10.0.0.0/8","dev":"eth0"}]',
      /\[0\]\.dst "10\.0\.0\.0\/8" is no IPv6 prefix$/,
    ],
    [
      "a table by a name of its own",
      "routes4.json",
      '[{"dst":"default","dev":"eth0","table":"mine"}]',
      /\[0\]\.table "mine" has no number here; collect it with ip -N$/,
    ],
    [
      "a rule's action",
      "rules4.json",
      '[{"action":"dance"}]',
      /\[0\]\.action "dance" has no number here/,
    ],
    ["a rule's source", "rules4.json", '[{"src":"::1"}]', /\[0\]\.src must be an IPv4 address$/],
    [
      "a neighbour",
      "neigh.json",
      '[{"dst":"x","dev":"eth0"}]',
      /^node1\/neigh\.json: \[0\]\.dst "x" is no IP address$/,
    ],
    [
      "a line of sysctls",
      "sysctls.txt",
      "net.ipv4.ip_forward = 1\nwhat",
      /^node1\/sysctls\.txt:2: must be a line as/,
    ],
    [
      "a value of a sysctl",
      "sysctls.txt",
      "net.ipv4.ip_forward = many",
      /^node1\/sysctls\.txt:1: sysctl .* takes an integer/,
    ],
    [
      "iptables' text",
      "iptables.txt",
      "*filter\nnonsense\nCOMMIT\n",
      /^node1\/iptables\.txt:2: Bad argument `nonsense'/,
    ],
    [
      "a table of iptables that is cut off",
      "iptables.txt",
      "*filter\n:INPUT ACCEPT [0:0]\n",
      /^node1\/iptables\.txt:\d: .*COMMIT expected/,
    ],
    ["a set", "ipset.txt", "add pods\nnonsense", /^node1\/ipset\.txt/],
    ["nft's text", "nft.txt", "table inet t {\n\tchain c {\n", /^node1\/nft\.txt:\d+: /],
    [
      "a socket",
      "sockets.txt",
      "tcp LISTEN 0 1 here *:*",
      /^node1\/sockets\.txt:1: must be a line of `ss -Hlntup`/,
    ],
    [
      "a bucket",
      "qdiscs.json",
      '[{"kind":"tbf","dev":"eth0","handle":"1:","root":true}]',
      /^node1\/qdiscs\.json: \[0\]\.options is missing$/,
    ],
  ])("%s", (_, file, text, message) => {
    const error = refusal(recordedBut({ [file]: text }));
    expect(error?.message).toMatch(message);
    expect(error?.message.split("\n")).toHaveLength(1);
  });

  test("a folder without any node", () => {
    expect(refusal(new Map([["x/addrs.json", "[]"]]))?.message).toMatch(/there is no node in it/);
  });

  test("more rules that are not modelled than a walk can do without", () => {
    const rules = Array.from(
      { length: 300 },
      (_, i) => `-A FORWARD -m time --timestart 0${i % 9}:00:00 -j DROP`,
    );
    const text = `*filter\n:FORWARD ACCEPT [0:0]\n${[...new Set(rules)].join("\n")}\n`.repeat(1);
    expect(refusal(recordedBut({ "iptables.txt": `${text}COMMIT\n` }))).toBeUndefined();
    const many = rules.map((rule, i) => `${rule} -m comment --comment ${i}`);
    const all = `*filter\n:FORWARD ACCEPT [0:0]\n${many.join("\n")}\nCOMMIT\n`;
    expect(refusal(recordedBut({ "iptables.txt": all }))?.message).toMatch(
      /^node1\/iptables\.txt:\d+: more than 200 lines are not modelled/,
    );
  });
});

/** `undefined` where it is read. Any other error than an InputError is a defect of ours. */
function refusal(files: SavedFiles): InputError | undefined {
  try {
    importState(files);
    return undefined;
  } catch (error) {
    if (error instanceof InputError) return error;
    throw error;
  }
}

function expectReadOrRefused(files: SavedFiles): void {
  const error = refusal(files);
  if (error !== undefined) expect(error.message).not.toMatch(/[\r\n]/);
}

describe("no input brings it down", () => {
  const files = recorded();
  const paths = [...files.keys()].filter((path) => (files.get(path) as string).trim().length > 2);
  const json = paths.filter((path) => path.endsWith(".json"));

  test("random text in place of a file", () => {
    fc.assert(
      fc.property(fc.constantFrom(...paths), fc.string({ unit: "binary" }), (path, text) => {
        expectReadOrRefused(new Map([...files, [path, text]]));
      }),
      { numRuns: 150 },
    );
  });

  test("a file that is cut off, or with a piece taken out or put in", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...paths),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.nat(20),
        fc.oneof(fc.constant(""), fc.string()),
        (path, at, length, put) => {
          const text = files.get(path) as string;
          const from = Math.floor(at * text.length);
          const changed = text.slice(0, from) + put + text.slice(from + length);
          expectReadOrRefused(new Map([...files, [path, changed]]));
          expectReadOrRefused(new Map([...files, [path, text.slice(0, from)]]));
        },
      ),
      { numRuns: 150 },
    );
  });

  test("any value in place of one of JSON's", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...json),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        fc.oneof(
          fc.jsonValue(),
          fc.constantFrom<unknown>(-1, 0, 1, 2 ** 31, 1e300, "", "0x", "all", "::", "eth0", [{}]),
        ),
        (path, at, value) => {
          const whole = JSON.parse(files.get(path) as string) as unknown;
          const places = placesIn(whole);
          const [holder, key] = places[Math.floor(at * places.length)] as (typeof places)[number];
          holder[key] = value;
          expectReadOrRefused(new Map([...files, [path, JSON.stringify(whole)]]));
        },
      ),
      { numRuns: 400 },
    );
  });

  test("files that are missing", () => {
    fc.assert(
      fc.property(fc.subarray([...files.keys()]), (kept) => {
        const some = new Map(kept.map((path) => [path, files.get(path) as string]));
        expectReadOrRefused(some);
      }),
      { numRuns: 100 },
    );
  });
});

/** Every value inside of a JSON value, by what holds it. */
function placesIn(value: unknown): [holder: Record<string, unknown>, key: string][] {
  if (typeof value !== "object" || value === null) return [];
  const holder = value as Record<string, unknown>;
  return Object.keys(holder).flatMap((key): [Record<string, unknown>, string][] => [
    [holder, key],
    ...placesIn(holder[key]),
  ]);
}
