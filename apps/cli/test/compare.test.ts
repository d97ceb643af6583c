// One input on several CNIs: the figures are those that other commands show of each.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import type { ComparisonData } from "../src/compare/comparison-data.ts";
import { cnilab, hasManifests, MANIFESTS, ROOT } from "./cnilab.ts";

const ALL = ["flannel", "calico", "cilium", "weave"];
/** A screen at a talk. */
const [LINES, COLUMNS] = [50, 120];

/** As docs/comparing.md shows it, and README.md in parts, behind its command. */
const SCREEN =
  /(?<=^```console\n)(\$ cnilab compare --cni flannel,calico,cilium,weave -f online-boutique\/\n)([^`]*)(?=```$)/m;

const folder = mkdtempSync(join(tmpdir(), "compare-"));
afterAll(() => rmSync(folder, { recursive: true }));

async function data(...args: string[]): Promise<ComparisonData> {
  const { stdout, stderr, status } = await cnilab(["compare", ...args, "-o", "json"]);
  expect([stderr, status]).toEqual(["", 0]);
  return JSON.parse(stdout);
}

/** As far as it is read here. */
interface TracedJson {
  readonly packets: readonly { readonly number: number; readonly info?: string }[];
  readonly hops: readonly {
    readonly packet: number;
    readonly steps: readonly {
      readonly kind: string;
      readonly evaluated?: number;
      readonly lookups?: number;
    }[];
  }[];
}

/** What a trace of the pair says of its first packet. */
async function traced(cni: string, pair: string, files: readonly string[]): Promise<number[]> {
  const [from, to] = pair.split(" -> ").map((end) => end.replace("/", "/deploy/"));
  const asked = ["trace", from ?? "", to ?? "", "--cni", cni, ...files, "-o", "json"];
  const { stdout } = await cnilab(asked);
  const { packets, hops }: TracedJson = JSON.parse(stdout);
  const syn = packets.find(({ info }) => info === "SYN")?.number;
  const steps = hops.filter(({ packet }) => packet === syn).flatMap((hop) => hop.steps);
  const sum = (kind: string, key: "evaluated" | "lookups") =>
    steps.reduce((n, step) => n + (step.kind === kind ? (step[key] ?? 0) : 0), 0);
  const walked = steps.filter(({ kind }) => kind !== "neighbour").length;
  return [walked, sum("hook", "evaluated"), sum("bpf", "lookups")];
}

describe("on the shop", () => {
  test("all CNIs stand on one screen", async () => {
    const { stdout, stderr, status } = await cnilab(["compare"]);
    expect([stderr, status]).toEqual(["", 0]);
    const lines = stdout.trimEnd().split("\n");
    expect(lines.length).toBeLessThanOrEqual(LINES);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(COLUMNS);
    for (const name of ALL) expect(stdout).toContain(`\n  ${name}: pod > `);
    expect(stdout).not.toMatch(/undefined|NaN|\[object/);
  });

  test("the same CNI can be compared with other options", async () => {
    const { cnis } = await data("--cni", "flannel,flannel:backend=host-gw,flannel:backend=ipip");
    expect(
      cnis.map((cni) => [
        cni.name,
        cni.acrossNodes?.later.encapsulationBytes,
        cni.acrossNodes?.mtu,
      ]),
    ).toEqual([
      ["flannel", 50, 1450],
      ["flannel:backend=host-gw", 0, 1500],
      ["flannel:backend=ipip", 20, 1480],
    ]);
  });

  test("options of one CNI stand on top, and what they change in the table", async () => {
    const dsr = ["kubeProxyReplacement=true", "loadBalancer.mode=dsr", "routingMode=native"];
    const routes = ["autoDirectNodeRoutes=true", "ipv4NativeRoutingCIDR=10.244.0.0/16"];
    const own = `cilium:${[...dsr, ...routes].join()}`;
    const { stdout } = await cnilab(["compare", "--cni", `flannel,${own}`]);
    expect(stdout).toContain(`\ncilium has ${dsr.join(", ")}, `);
    expect(stdout).toMatch(/\n {2}Services by +kube-proxy \(iptables\) +cilium\n/);
    expect(stdout).toMatch(/NodePort, policy Cluster +node\d flannel.1 +the client\n/);
    expect(stdout).toMatch(/the\s+server\s+sees\s+the\s+client\s+itself\s+on\s+cilium/);
  });

  test("a model of one's own and no model at all are compared as any other", async () => {
    const own = join(ROOT, "apps/examples/custom-cni/routed.ts");
    const { cnis, differences, why } = await data("--cni", `none,${own}`);
    expect(cnis.map(({ name, reach }) => [name, reach])).toEqual([
      ["none", { allowed: 0, blocked: 0 }],
      ["routed", { allowed: 110, blocked: 0 }],
    ]);
    expect(cnis[1]?.acrossNodes?.first).toMatchObject({ outer: [], routed: 2 });
    expect(differences).toMatchObject([
      { verdicts: { none: "not running", routed: "allowed" }, pairs: { length: 110 } },
    ]);
    expect(why.find(({ topic }) => topic === "routed")?.text).toContain("no bridge");
  });

  test("every format says the same", async () => {
    const cni = ["compare", "--cni", "flannel,calico"];
    const [json, yaml, csv, md] = await Promise.all(
      ["json", "yaml", "csv", "md"].map((o) => cnilab([...cni, "-o", o])),
    );
    const whole: ComparisonData = JSON.parse(json?.stdout ?? "");
    expect(parse(yaml?.stdout ?? "", { version: "1.1" })).toEqual(whole);
    const rules = whole.cnis.map((each) => each.acrossNodes?.first.rules);
    expect(csv?.stdout.split("\n")[0]).toBe("figure,flannel,calico");
    expect(csv?.stdout).toContain(`\nacrossNodes.first.rules,${rules.join(",")}\n`);
    expect(md?.stdout).toContain("\n| --- | --- | --- |\n");
    expect(md?.stdout).toContain(`\n| policies in effect | 0 of 1 | 1 of 1 |\n`);
  });
});

describe("what stands in nobody's way is told", () => {
  test("a policy that an engine refuses is not in effect, and the reason is there", async () => {
    const { stdout } = await cnilab(["compare", "--cni", "cilium,weave"]);
    expect(stdout).toMatch(/policies in effect +1 of 1 +0 of 1\n/);
    expect(stdout).toMatch(
      /\n {2}warnings: weave: NetworkPolicy shop-data\/cache-for-cart-only is not enforced: /,
    );
  });

  test("pods that do not run, and nodes that are not ready, are told; none is no CNI", async () => {
    const mixed = join(ROOT, "apps/examples/windows/mixed.yaml");
    const { stdout } = await cnilab(["compare", "--cni", "none,flannel", "-f", mixed]);
    expect(stdout).toMatch(/pods that run +0 of 4 +2 of 4\n/);
    expect(stdout).toContain("nobody answers on --cni none (no pod)");
    // A node that is not ready is no node to ask.
    expect(stdout).toMatch(/NodePort, policy Cluster +no pod +lin1 cni0\n/);
    expect(stdout).toContain("\n  warnings: flannel: win1 is NotReady: flanneld: invalid VXLAN");
  });

  test("tables of nftables are counted whole", async () => {
    const { why } = await data("--cni", "flannel,calico", "--proxy-mode", "nftables");
    const rules = why.find(({ topic }) => topic === "rules")?.text ?? "";
    expect(rules).toMatch(/Later ones still meet flannel ip kube-proxy \d+, filter \d+; calico /);
    expect(why.find(({ topic }) => topic === "state")?.text).not.toContain("KUBE-*");
  });
});

describe("bad input", () => {
  const empty = join(folder, "empty.yaml");
  writeFileSync(empty, "\n");
  const idle = join(folder, "idle.yaml");
  writeFileSync(idle, "apiVersion: v1\nkind: Namespace\nmetadata: { name: idle }\n");
  const host = join(folder, "host.yaml");
  writeFileSync(
    host,
    "apiVersion: v1\nkind: Pod\nmetadata: { name: h }\nspec: { hostNetwork: true, containers: [{ name: c, image: i }] }\n",
  );
  test.each<[string[], string]>([
    [["-f", host], "compare: all pods of the input use their node's network (hostNetwork)"],
    [
      ["--ip-families", "ipv6"],
      "Weave has no IPv6; use ipv4 alone, or leave it out: --cni flannel,calico,cilium",
    ],
    [["--cni", "flannel"], 'compare: compares CNIs, and "flannel" is one; name another'],
    [["--cni", "flannel,fannel"], '--cni: there is no model "fannel"; known are flannel, calico'],
    [["--cni", "flannel,"], '--cni: a name is missing in "flannel,"'],
    [["--cni", "flannel,flannel"], "--cni: flannel stands there twice"],
    [["--cni", "flannel,flannel:backend=x"], "backend must be one of"],
    [["--cni", "flannel,calico:backend=vxlan"], 'calico has no option "backend"'],
    [
      ["--cni", "flannel,calico", "--cni-set", "nothing=1"],
      "none of flannel, calico has an option",
    ],
    [["--cni", "flannel,none", "--cni-values", empty], "is empty"],
    [["-f", empty], "empty.yaml: is empty"],
    [["-f", idle], "compare: no pod of the input runs on any of these CNIs"],
    [["-o", "junit"], "argument 'junit' is invalid"],
  ])("%j", async (args, message) => {
    const { status, stdout, stderr } = await cnilab(["compare", ...args]);
    expect([status, stdout]).toEqual([2, ""]);
    expect(stderr).toContain(message);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
  });
});

test("of many pairs some are drawn, the same ones for one seed, and the screen says so", async () => {
  const file = join(folder, "many.yaml");
  const pods = Array.from({ length: 40 }, (_, i) => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: `p${i}` },
    spec: { containers: [{ name: "c", image: "i", ports: [{ containerPort: 80 }] }] },
  }));
  writeFileSync(file, JSON.stringify({ apiVersion: "v1", kind: "List", items: pods }));
  const args = ["compare", "--cni", "flannel,cilium", "-f", file];
  const [first, again] = [await cnilab(args), await cnilab(args)];
  expect(first.stdout).toContain("(1000 of 1560 pairs, drawn by chance, each walked)");
  expect(again.stdout).toBe(first.stdout);
});

describe.skipIf(!hasManifests)("on the Online Boutique with its policies (needs ../shared)", () => {
  const files = ["-f", join(MANIFESTS, "online-boutique")];

  test("all CNIs stand on one screen, with who enforces what", async () => {
    const { stdout, status } = await cnilab(["compare", "--cni", ALL.join(), ...files]);
    expect(status).toBe(0);
    const lines = stdout.trimEnd().split("\n");
    expect(lines.length).toBeLessThanOrEqual(LINES);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(COLUMNS);
    expect(stdout).toMatch(/policies in effect +0 of 13 +13 of 13 +13 of 13 +13 of 13\n/);
    expect(stdout).toMatch(/through on flannel;\s+blocked on calico and cilium by deny-all 57,/);
    const [, , parts = ""] = SCREEN.exec(readFileSync(join(ROOT, "README.md"), "utf8")) ?? [];
    expect(parts).not.toBe("");
    for (const line of parts.trimEnd().split("\n")) {
      if (line.trim() !== "…") expect(lines).toContain(line);
    }
    // `-u` writes it there anew.
    const page = join(ROOT, "docs/comparing.md");
    const text = readFileSync(page, "utf8");
    expect(text).toMatch(SCREEN);
    await expect(text.replace(SCREEN, (_, command) => command + stdout)).toMatchFileSnapshot(page);
  });

  test("pairs fare as reach says, and first packets as traces say", async () => {
    const { cnis, measured, differences } = await data("--cni", ALL.join(), ...files);
    expect(differences.flatMap(({ pairs }) => pairs)).toHaveLength(95);
    const [near, far] = [measured.sameNode ?? "", measured.acrossNodes ?? ""];
    for (const { name, reach, sameNode, acrossNodes } of cnis) {
      const { stdout } = await cnilab(["reach", "--cni", name, ...files, "-o", "json"]);
      const verdicts: { verdict: string }[] = JSON.parse(stdout);
      const allowed = verdicts.filter(({ verdict }) => verdict === "allowed").length;
      expect([name, reach]).toEqual([name, { allowed, blocked: verdicts.length - allowed }]);
      const firsts = [sameNode?.first, acrossNodes?.first].map((walk) => [
        walk?.steps,
        walk?.rules,
        walk?.lookups,
      ]);
      // Weave's datapath knows the flows of a connection before this one, which a trace alone has not had.
      if (name === "weave") continue;
      expect([name, ...firsts]).toEqual([
        name,
        await traced(name, near, files),
        await traced(name, far, files),
      ]);
    }
  });
});
