// Against the kernel of this machine, in namespaces of its own.
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { SeededRandom, VirtualClock } from "@cnilab/core";
import {
  Geneve,
  IpTunnel,
  Kernel,
  type NetNamespace,
  Network,
  Veth,
  Wireguard,
} from "@cnilab/linux";
import { parseIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import {
  checkKernel,
  down,
  type KernelFeature,
  script,
  standalone,
  UnrealizableError,
  up,
  whyNotHere,
} from "../src/index.ts";
import { PROBES, PROGRAMS } from "../src/kernel-features.ts";
import { compare } from "./fuzz/compare.ts";
import { generate } from "./fuzz/generate.ts";
import { Model } from "./fuzz/model.ts";
import { Prober } from "./fuzz/real.ts";
import type { Step } from "./fuzz/topology.ts";

const missing = whyNotHere();
const why = missing === undefined ? "" : ` (skipped: ${missing})`;

const STEPS: readonly Step[] = [
  { do: "namespace", netns: "a" },
  { do: "namespace", netns: "b" },
  { do: "cable", a: "a", b: "b", subnet: 1, mtu: 1400 },
];

function prefixOf(name: string): string {
  return `rt${process.pid}${name}`;
}

function namespaces(prefix: string): string[] {
  return execFileSync("ip", ["netns", "list"], { encoding: "utf8" })
    .split("\n")
    .map((line) => line.split(" ")[0] as string)
    .filter((name) => name.startsWith(`${prefix}.`))
    .sort();
}

describe.skipIf(missing !== undefined)(`real namespaces${why}`, () => {
  test("are made as the model has them, and go again", async () => {
    const prefix = prefixOf("a");
    const made = script(new Model(STEPS).network, { prefix });
    checkKernel(made);
    const realized = await up(made);
    expect(namespaces(prefix)).toEqual([`${prefix}.m`, `${prefix}.m.a`, `${prefix}.m.b`]);
    const links = execFileSync("ip", ["-n", `${prefix}.m.a`, "-br", "addr"], { encoding: "utf8" });
    expect(links).toMatch(/^e1@\S+ +UP +10\.0\.1\.1\/24 fd00:0:0:1::1\/64/m);
    await realized.remove();
    expect(namespaces(prefix)).toEqual([]);
  });

  test("that are kept go by down, which leaves others alone", async () => {
    const prefix = prefixOf("b");
    const other = `${prefix}.other`;
    execFileSync("ip", ["netns", "add", other]);
    try {
      const realized = await up(script(new Model(STEPS).network, { prefix }));
      await realized.keep();
      expect(namespaces(prefix)).toHaveLength(4);
      expect(down(prefix)).toBe(3);
      expect(namespaces(prefix)).toEqual([other]);
      expect(down(prefix)).toBe(0);
    } finally {
      execFileSync("ip", ["netns", "del", other]);
    }
  });

  test("are not left half made, nor taken from somebody else", async () => {
    const prefix = prefixOf("c");
    const taken = `${prefix}.m.b`;
    execFileSync("ip", ["netns", "add", taken]);
    try {
      await expect(up(script(new Model(STEPS).network, { prefix }))).rejects.toThrow(
        `there is a namespace ${taken} already`,
      );
      expect(namespaces(prefix)).toEqual([taken]);
    } finally {
      execFileSync("ip", ["netns", "del", taken]);
    }
  });

  test("are left by the script as a file of its own, and taken away by it", () => {
    const prefix = prefixOf("j");
    const file = standalone(script(new Model(STEPS).network, { prefix }));
    const bash = (...args: string[]) =>
      spawnSync("bash", ["-s", ...args], { input: file, encoding: "utf8" });
    expect(bash()).toMatchObject({ status: 0, stderr: "" });
    expect(namespaces(prefix)).toHaveLength(3);
    const again = bash();
    expect([again.status, again.stderr]).toEqual([1, expect.stringContaining("realised already")]);
    expect(namespaces(prefix)).toHaveLength(3);
    expect(bash("down").status).toBe(0);
    expect(namespaces(prefix)).toEqual([]);
    expect(existsSync(`/run/cnilab-realize/${prefix}`)).toBe(false);
  });

  test("are not made a second time with one prefix", async () => {
    const prefix = prefixOf("g");
    const made = script(new Model(STEPS).network, { prefix });
    const realized = await up(made);
    const refused = await up(made).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(UnrealizableError);
    expect(refused).toHaveProperty("message", expect.stringContaining(`"${prefix}" is in use`));
    expect(namespaces(prefix)).toHaveLength(3);
    await realized.remove();
  });

  test("that cannot be taken away stay on record", () => {
    const prefix = prefixOf("h");
    const [name, record] = [`${prefix}.m`, `/run/cnilab-realize/${prefix}`];
    // A folder is no namespace: `ip netns del` refuses it.
    mkdirSync(`/run/netns/${name}`, { recursive: true });
    mkdirSync("/run/cnilab-realize", { recursive: true });
    writeFileSync(record, `${name}\n`);
    try {
      expect(() => down(prefix)).toThrow(`cannot take away namespace ${name}: `);
      expect(existsSync(record)).toBe(true);
    } finally {
      rmSync(`/run/netns/${name}`, { recursive: true });
      rmSync(record);
    }
  });

  test("a device's name is never a command", async () => {
    const network = new Network(new VirtualClock(), new SeededRandom(1));
    const netns = new Kernel(network, "node").initNs;
    const names = ["$(>x)", "a;'b'|c&`d`"];
    for (const name of names) {
      Veth.pair(netns, { name }, netns.kernel.addNamespace(`of-${names.indexOf(name)}`), { name });
      netns.sysctl.set(`net/ipv4/conf/${name}/rp_filter`, "2");
    }
    const prefix = prefixOf("i");
    const realized = await up(script(network, { prefix }));
    const links = execFileSync("ip", ["-n", `${prefix}.node`, "-br", "link"], { encoding: "utf8" });
    for (const name of names) expect(links).toContain(`${name}@`);
    expect(existsSync("x")).toBe(false);
    await realized.remove();
  });

  test.each(["SIGKILL", "SIGTERM", "SIGINT"] as const)(
    "go when %s ends the process that made them",
    async (signal) => {
      const prefix = prefixOf(`d${signal}`);
      const program = fileURLToPath(new URL("made-and-killed.ts", import.meta.url));
      const child = spawn(process.execPath, [program, prefix], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      await new Promise((resolve) => child.stdout.once("data", resolve));
      expect(namespaces(prefix)).toHaveLength(2);
      const record = `/run/cnilab-realize/${prefix}`;
      child.kill(signal);
      while (existsSync(record)) await new Promise((resolve) => setTimeout(resolve, 20));
      expect(namespaces(prefix)).toEqual([]);
    },
  );

  test("what the kernel lacks is refused by name before anything is made", () => {
    const made = script(new Model(STEPS).network, { prefix: prefixOf("e") });
    const rules = {
      netns: "x",
      command: "iptables-restore",
      text: "*filter\n-A FORWARD -m nosuch\nCOMMIT\n",
    };
    expect(() => checkKernel({ ...made, ruleSets: [rules] })).toThrow(
      /^x: iptables-restore: .*nosuch/s,
    );
  });
});

describe.skipIf(missing !== undefined)(`a kernel that lacks something${why}`, () => {
  const FEATURES: [KernelFeature, (netns: NetNamespace) => void][] = [
    [
      "geneve devices",
      (netns) => new Geneve(netns, { name: "g", vni: 1, remote: parseIp("192.0.2.1") }),
    ],
    ["wireguard devices", (netns) => new Wireguard(netns, { name: "wg0", publicKey: "key" })],
    ["ipip devices", (netns) => new IpTunnel(netns, { name: "t", local: 1, remote: 2 })],
    ["IPVS", (netns) => netns.ipvs.command("-A -t 192.0.2.1:80 -s rr")],
  ];

  test.each(FEATURES)("%s: is refused by name, and only then", (feature, make) => {
    const network = new Network(new VirtualClock(), new SeededRandom(1));
    make(new Kernel(network, "node").initNs);
    const made = script(network, { prefix: prefixOf("k") });
    const refusal = featureMissing(feature);
    if (refusal === undefined) expect(() => checkKernel(made)).not.toThrow();
    else expect(() => checkKernel(made)).toThrow(refusal);
    expect(namespaces(prefixOf("k"))).toEqual([]);
  });

  /** What is to be said of a feature that this machine lacks, by asking it. */
  function featureMissing(feature: KernelFeature): string | undefined {
    const program = PROGRAMS[feature];
    if (program !== undefined && spawnSync("which", [program]).status !== 0) {
      return `${program} is missing, for ${feature}`;
    }
    const asked = spawnSync("unshare", ["-n", "bash", "-c", PROBES[feature]]);
    return asked.status === 0 ? undefined : `this kernel has no ${feature}`;
  }
});

describe.skipIf(missing !== undefined)(`random networks${why}`, () => {
  // A loaded machine may answer too late for the probe's patience: once more tells that apart.
  test("the model and the kernel treat the same flows alike", { retry: 2 }, async () => {
    const prober = new Prober();
    try {
      const seeds = [1, 2, 3, 5];
      const results = await Promise.all(
        seeds.map((seed) => compare(generate(seed, 10), prober, prefixOf(`f${seed}`))),
      );
      expect(results.flatMap((result) => result.disagreements)).toEqual([]);
      const flows = results.reduce((sum, result) => sum + result.flows, 0);
      expect(flows).toBeGreaterThanOrEqual(40);
    } finally {
      prober.close();
    }
  });
});
