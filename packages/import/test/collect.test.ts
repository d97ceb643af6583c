// The collect script, with programs of our own in place of the real ones: how it gets to nodes, and that it only reads.
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";

const COLLECT = fileURLToPath(new URL("../collect.sh", import.meta.url));
const lacks = ["bash", "awk", "stat"].find((tool) => spawnSync("which", [tool]).status !== 0);
const why = lacks === undefined ? "" : ` (skipped: needs ${lacks})`;

const folder = mkdtempSync(join(tmpdir(), "cnilab-collect-"));
afterAll(() => rmSync(folder, { recursive: true }));
const log = join(folder, "calls");
const TOOLS = [
  "ip",
  "bridge",
  "sysctl",
  "iptables-save",
  "ip6tables-save",
  "nft",
  "ipset",
  "ipvsadm",
  "tc",
  "ss",
  "wg",
  "lsns",
];

/** Programs that note how they were called, and say what `says` has for them. */
function programs(name: string, says: Readonly<Record<string, string>>): string {
  const dir = mkdtempSync(join(folder, `${name}-`));
  const write = (program: string, script: string): void => {
    writeFileSync(join(dir, program), `#!/bin/bash\n${script}\n`);
    chmodSync(join(dir, program), 0o755);
  };
  for (const tool of TOOLS)
    write(tool, `echo "${tool} $*" >> ${log}\n${says[tool] ?? "echo '[]'"}`);
  // Each has the node's name somewhere before the command that it runs there.
  write("ssh", 'shift; exec "$@"');
  write("sudo", 'exec "$@"');
  write("docker", 'shift 3; exec "$@"');
  write("kubectl", says["kubectl"] ?? 'while [ "$1" != -- ]; do shift; done; shift 3; exec "$@"');
  return dir;
}

function collect(
  args: readonly string[],
  tools: string,
  input?: string,
): ReturnType<typeof spawnSync> {
  return spawnSync("bash", [COLLECT, ...args], {
    env: { PATH: `${tools}:${process.env["PATH"]}`, NETNS: "there-is-none-of-this-name" },
    encoding: "utf8",
    ...(input === undefined ? {} : { input }),
  });
}

describe.skipIf(lacks !== undefined)(`collect.sh${why}`, () => {
  const tools = programs("plain", { tc: "echo 'qdisc clsact ffff: dev eth0 parent ffff:fff1'" });

  test.each(["ssh", "docker", "kubectl"])("%s: every node in a folder of its own", (how) => {
    const dir = join(folder, how);
    const { status, stderr } = collect([how, dir, "node1", "node2"], tools);
    expect([status, stderr]).toEqual([0, ""]);
    expect(readdirSync(dir)).toEqual(["node1", "node2"]);
    expect(readdirSync(join(dir, "node2"))).toEqual(
      expect.arrayContaining(["links.json", "routes4.json", "sockets.txt", "namespaces.txt"]),
    );
    expect(readFileSync(join(dir, "node1", "links.json"), "utf8")).toBe("[]\n");
    expect(readFileSync(join(dir, "node1", "filters", "eth0.json"), "utf8")).toMatch(
      /^qdisc clsact/,
    );
  });

  test("nothing that it calls changes anything", () => {
    rmSync(log, { force: true });
    collect(["local", join(folder, "read-only"), "n"], tools);
    const calls = readFileSync(log, "utf8").trim().split("\n");
    expect(calls.length).toBeGreaterThan(20);
    const reading =
      /^(ip (-\S+ )*(link|addr|route|rule|neigh) show( table all| proxy)?|ip -j netns list-id|bridge (-\S+ )*fdb show|tc (-\S+ )*(qdisc|filter) show.*|(iptables|ip6tables)-save (-c|-V)|nft list ruleset|ipset save|ipvsadm -Sn|sysctl -e -a -r \S+|ss -Hlntup|wg show all dump|lsns .*)$/;
    expect(calls.filter((call) => !reading.test(call))).toEqual([]);
  });

  test("keys of WireGuard do not leave the node", () => {
    const dump =
      "printf 'wg0\\tPRIVATE\\tpublic\\t51820\\toff\\nwg0\\tother\\tSHARED\\t(none)\\t10.0.0.0/8\\t0\\t0\\t0\\toff\\n'";
    const dir = join(folder, "keys");
    collect(["local", dir, "n"], programs("wg", { wg: dump }));
    expect(readFileSync(join(dir, "n", "wg.txt"), "utf8")).toBe(
      "wg0\t-\tpublic\t51820\toff\nwg0\tother\t-\t(none)\t10.0.0.0/8\t0\t0\t0\toff\n",
    );
  });

  test("a tool that fails leaves no file", () => {
    const dir = join(folder, "failing");
    const { status } = collect(["local", dir, "n"], programs("nft", { nft: "exit 1" }));
    expect(status).toBe(0);
    expect(existsSync(join(dir, "n", "nft.txt"))).toBe(false);
    expect(existsSync(join(dir, "n", "ipset.txt"))).toBe(true);
  });

  test("objects are kubectl's", () => {
    const dir = join(folder, "objects");
    const { status } = collect(["objects", dir], programs("kubectl", { kubectl: 'echo "$*"' }));
    expect(status).toBe(0);
    expect(readFileSync(join(dir, "objects.yaml"), "utf8")).toMatch(
      /^get nodes,.*pods,.* -A -o yaml\n$/,
    );
  });

  test.each([
    ["echo items", ["objects.yaml"]],
    ["true", []],
  ])("of objects that kubectl could not all list the others are kept: %s", (says, expected) => {
    const dir = join(folder, `objects ${says}`);
    const kubectl = programs(`kubectl ${says}`, { kubectl: `${says}; exit 1` });
    const { status, stderr } = collect(["objects", dir], kubectl);
    expect([status, stderr]).toEqual([1, "collect.sh: not all objects were read\n"]);
    expect(readdirSync(dir)).toEqual(expected);
  });

  test("what breaks off is told, and what leads out of the folder is not written", () => {
    const dir = join(folder, "unpacked");
    const text =
      "@@cnilab n/a.json\n[]\n@@cnilab n/../../b.json\nx\n@@cnilab /tmp/c.json\nx\n@@cnilab n/$(id)\nx\n";
    expect(collect(["unpack", dir], tools, text).status).toBe(1);
    expect(readdirSync(dir, { recursive: true }).sort()).toEqual(["n", "n/a.json"]);
    expect(collect(["unpack", dir], tools, `${text}@@cnilab end\n`).status).toBe(0);
    const broken = programs("broken", {});
    writeFileSync(join(broken, "ssh"), "#!/bin/bash\necho '@@cnilab n/links.json'\n");
    const { status, stderr } = collect(["ssh", dir, "n"], broken);
    expect([status, stderr]).toEqual([1, "collect.sh: n was not read to its end\n"]);
  });

  test("without words it says how it is called", () => {
    const { status, stdout } = collect([], tools);
    expect(status).toBe(2);
    expect(stdout).toMatch(/^Gathers what .*\n[\s\S]*collect\.sh ssh DIR NODE…/);
  });
});
