// Real machines' state through the command line: recorded state, and a cluster made of namespaces of this machine.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { whyNotHere } from "@cnilab/realize";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cnilab } from "./cnilab.ts";

/** One machine with pods `pod` and `db`, recorded by test/record.sh of packages/import. */
const RECORDED = fileURLToPath(new URL("../../../packages/import/test/fixtures", import.meta.url));

test("import-node sums up what there is, and names what is not modelled", async () => {
  const { stdout, stderr, status } = await cnilab(["import-node", RECORDED]);
  expect([status, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(/^node1: 3 namespaces, 0 of pods; 11 devices with addresses: 15; /);
  expect(stdout).toContain("on one wire: node1/eth0, router/eth0\n");
  expect(stdout).toContain('  iptables rules, left out: "POLICY -m time');
});

test("import-node -o json is the same as data", async () => {
  const { stdout } = await cnilab(["import-node", RECORDED, "-o", "json"]);
  const { nodes, wires } = JSON.parse(stdout);
  expect(nodes).toHaveLength(1);
  expect(nodes[0]).toMatchObject({ node: "node1", namespaces: 3, iptablesRules: 2, sets: 1 });
  expect(wires).toEqual([["node1/eth0", "router/eth0"]]);
});

test("a single node's folder, or a single namespace's, is read as well", async () => {
  const { stdout } = await cnilab(["import-node", join(RECORDED, "node1", "netns", "db")]);
  expect(stdout).toMatch(/^db: 1 namespace, 0 of pods; 1 device with addresses: 2; /);
});

test("--print-collect writes the script, which bash understands", async () => {
  const { stdout, status } = await cnilab(["import-node", "--print-collect"]);
  expect(status).toBe(0);
  expect(stdout).toMatch(/^#!\/usr\/bin\/env bash\n/);
  expect(spawnSync("bash", ["-n"], { input: stdout }).status).toBe(0);
});

test.each([
  [
    "show routes",
    ["show", "routes", "--node", "node1"],
    /^blackhole 10\.9\.5\.0\/24 proto bird $/m,
  ],
  ["realize --print", ["realize", "--print"], /^link add name vx address .* type vxlan id 7 /m],
  [
    "probe of a server whose socket was collected",
    ["probe", "node/node1", "10.9.1.3:5432"],
    /^allowed: node1\/db answered at 10\.9\.1\.3:5432/,
  ],
])("--state: %s", async (_, args, expected) => {
  const { stdout, stderr, status } = await cnilab([...args, "--state", RECORDED]);
  expect(stdout).toMatch(expected);
  expect(status).toBe(0);
  expect(stderr).toBe(
    `cnilab: warning: 9 kinds of the saved state not modelled; cnilab import-node ${RECORDED} names them\n`,
  );
});

test("--state: where no socket was collected, nobody answers; --listen all makes it so", async () => {
  const probe = ["probe", "node/node1", "10.9.1.3:80", "--state", RECORDED];
  const { stdout, status } = await cnilab(probe);
  expect([status, stdout]).toEqual([1, expect.stringMatching(/^refused: /)]);
  expect((await cnilab([...probe, "--listen", "all"])).status).toBe(0);
});

describe("what cannot be read is one line, and exit code 2", () => {
  const folder = mkdtempSync(join(tmpdir(), "cnilab-state-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, "broken", "node1"), { recursive: true });
  writeFileSync(join(folder, "broken", "node1", "links.json"), '[{"ifindex": 1');
  mkdirSync(join(folder, "objects"));
  writeFileSync(join(folder, "objects", "pods.yaml"), "kind: List\nitems: []\n");

  test.each([
    ["no folder", ["import-node"], /^cnilab: import-node: name the folder/],
    ["a folder that is not there", ["import-node", "/nowhere"], /there is no such file or folder/],
    [
      "no node in it",
      ["import-node", join(folder, "objects")],
      /holds no node's state; .*--print-collect/,
    ],
    [
      "JSON that breaks off",
      ["import-node", join(folder, "broken")],
      /^cnilab: node1\/links\.json: is not JSON/,
    ],
    [
      "the same for a trace",
      ["trace", "a", "b:1", "--state", join(folder, "broken")],
      /node1\/links\.json/,
    ],
    [
      "manifests beside it",
      ["probe", "a", "b:1", "--state", RECORDED, "-f", "x.yaml"],
      /cannot stand beside --state/,
    ],
    [
      "a pod that is not there",
      ["trace", "x/y", "10.9.1.3:80", "--state", RECORDED],
      /there is no pod x\/y/,
    ],
  ])("%s", async (_, args, message) => {
    const { stdout, stderr, status } = await cnilab(args);
    expect([status, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
  });
});

const lacking = ["nsenter", "lsns", "ss"].find((tool) => spawnSync("which", [tool]).status !== 0);
const missing = whyNotHere() ?? (lacking === undefined ? undefined : `needs ${lacking}`);
const why = missing === undefined ? "" : ` (skipped: ${missing})`;

/** The objects of a cluster that a collected folder needs. */
const KINDS = ["nodes", "pods", "services", "endpointslices"];

describe.skipIf(missing !== undefined)(`the shop, realised and collected${why}`, () => {
  const prefix = `shop${process.pid}`;
  const dir = mkdtempSync(join(tmpdir(), "cnilab-shop-"));
  const cluster = ["--nodes", "2", "--cni-set", "backend=vxlan"];

  beforeAll(async () => {
    const up = await cnilab(["realize", "--prefix", prefix, ...cluster]);
    expect([up.status, up.stderr.includes("defect")]).toEqual([0, false]);
    const { stdout } = await cnilab(["import-node", "--print-collect"]);
    const script = join(dir, "collect.sh");
    writeFileSync(script, stdout);
    for (const node of ["node1", "node2"]) {
      const netns = `${prefix}.${node}`;
      execFileSync("bash", [script, "local", join(dir, "state"), node], {
        env: { ...process.env, ROOT_NETNS: netns, NETNS: `${netns}.*` },
      });
    }
    for (const kind of KINDS) {
      const objects = await cnilab(["get", kind, "-A", "-o", "yaml", ...cluster]);
      writeFileSync(join(dir, "state", `${kind}.yaml`), objects.stdout);
    }
  });

  afterAll(async () => {
    await cnilab(["realize", "down", "--prefix", prefix]);
    rmSync(dir, { recursive: true });
  });

  test("a pod reaches one on the other node by the same way as in the model", async () => {
    const pods = JSON.parse((await cnilab(["get", "pods", "-A", "-o", "json", ...cluster])).stdout);
    const on = (node: string): string => {
      const pod = pods.items.find(
        (p: { spec: { nodeName: string; hostNetwork?: boolean } }) =>
          p.spec.nodeName === node && p.spec.hostNetwork !== true,
      );
      return `${pod.metadata.namespace}/${pod.metadata.name}`;
    };
    const ends = [on("node1"), `${on("node2")}:8080`];
    const flags = ["-o", "json", "--listen", "all"];
    const model = JSON.parse((await cnilab(["trace", ...ends, ...flags, ...cluster])).stdout);
    const state = ["--state", join(dir, "state")];
    const real = JSON.parse((await cnilab(["trace", ...ends, ...flags, ...state])).stdout);
    const { verdict, backend, seenAs } = model;
    expect([verdict, backend]).toEqual(["allowed", on("node2")]);
    expect([real.verdict, real.backend, real.seenAs]).toEqual([verdict, backend, seenAs]);
    for (const [packet, from] of [
      ["SYN", "node1"],
      ["SYN-ACK", "node2"],
    ] as const) {
      const way = wayOf(model, packet);
      expect(way).toContain(`${from}: encapsulate flannel.1`);
      expect(wayOf(real, packet).map((step) => step.replaceAll(`${prefix}.`, ""))).toEqual(way);
    }
  });

  test("a Service answers by one of its pods, and nothing was left out", async () => {
    const state = ["--state", join(dir, "state"), "--listen", "all"];
    const probe = ["probe", "node/node1", "shop/svc/frontend:80", "-o", "json", ...state];
    const answer = JSON.parse((await cnilab(probe)).stdout);
    expect(answer.verdict).toBe("allowed");
    expect(answer.backend).toMatch(/^shop\/frontend-/);
    const { nodes, warnings } = JSON.parse(
      (await cnilab(["import-node", join(dir, "state"), "-o", "json"])).stdout,
    );
    expect(warnings).toEqual([]);
    expect(readdirSync(join(dir, "state", "node1", "netns"))).toHaveLength(nodes[0].pods);
    for (const { unmodelled } of nodes) {
      expect(unmodelled).toEqual([expect.stringMatching(/^sysctls: /)]);
    }
  });
});

interface TraceJson {
  readonly packets: readonly { readonly number: number; readonly info: string }[];
  readonly hops: readonly {
    readonly packet: number;
    readonly node: string;
    readonly steps: readonly {
      readonly kind: string;
      readonly dev?: string;
      readonly rule?: string;
      readonly evaluated?: number;
    }[];
  }[];
}

/** Steps of a packet on its way: devices, rules, tunnels, and what became of it. */
function wayOf({ packets, hops }: TraceJson, info: string): string[] {
  const packet = packets.find((p) => p.info === info)?.number;
  return hops
    .filter((hop) => hop.packet === packet)
    .flatMap(({ node, steps }) =>
      steps
        // Who was asked for already is not asked again; chains without rules are there in the real kernel alone.
        .filter(({ kind }) => kind !== "neighbour" && kind !== "hook")
        .map(({ kind, dev, rule }) => [`${node}:`, kind, dev, rule].filter(Boolean).join(" ")),
    );
}
