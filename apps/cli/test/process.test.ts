// The program as a process: the other tests run it in their own.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createProgram } from "../src/program.ts";
import { cnilab, cnilabProcess, type Ended, MAIN, ROOT } from "./cnilab.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cnilab-process-"));
  writeFileSync(join(folder, "pods.yaml"), ["a", "b"].map(pod).join("---\n"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function pod(name: string): string {
  return `{apiVersion: v1, kind: Pod, metadata: {name: ${name}}, spec: {containers: [{name: c, ports: [{containerPort: 80}]}]}}\n`;
}

const ROUTE = `{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r}, spec: {hostnames: [a.example], parentRefs: [{name: g}], rules: [{backendRefs: [{name: s, port: 80}]}]}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: g}, spec: {gatewayClassName: c, listeners: [{name: l, port: 80, protocol: HTTP}]}}
`;

/** The words after each command, what it reads from standard input, its exit code, and some of what it writes. */
const COMMANDS: readonly (readonly [string, string, string | undefined, number, RegExp])[] = [
  ["run", "-f pods.yaml", undefined, 0, /^2 pods on 3 nodes, /],
  ["trace", "a b:80 -f -", `${pod("a")}---\n${pod("b")}`, 0, /^allowed: /m],
  ["curl", "a http://b:81/ -f pods.yaml", undefined, 1, /^no answer: ECONNREFUSED/],
  ["dns", "a kubernetes -f pods.yaml", undefined, 0, /^kubernetes is 10\.96\.0\.1$/m],
  [
    "probe",
    "-f pods.yaml --probes -",
    '{"src":"a","dst":"b","port":80}\n{"src":"a","dst":"b","port":81}\n',
    1,
    /^\{"src":"a".*\n\{"src":"a".*"refused"/,
  ],
  ["reach", "-f pods.yaml -o csv", undefined, 0, /^default\/a,default\/b,/m],
  ["compare", "--cni flannel,none -f pods.yaml -o csv", undefined, 0, /flannel/],
  ["observe", "a b:80 -f pods.yaml", undefined, 0, / default\/a:[0-9]+ /],
  ["get", "pods -o name -f -", pod("from-stdin"), 0, /^pod\/from-stdin\n$/],
  [
    "describe",
    "pod/a -f pods.yaml",
    undefined,
    0,
    /^Name: +a\nNamespace: +default\nNode: +node\d\//,
  ],
  ["show", "routes --node node1 -f pods.yaml", undefined, 0, /^default via /],
  ["explain", "VTEP -f pods.yaml", undefined, 0, /^VTEP/],
  ["policy", "list -f pods.yaml", undefined, 0, /=>/],
  ["gateway", "route -f - --requests requests.ndjson", ROUTE, 0, /"backend":"default\/s:80"/],
  ["calico", "ipam show -f pods.yaml", undefined, 0, /IP Pool/],
  ["cilium", "status -h", undefined, 0, /^Usage: cnilab cilium status /],
  ["weave", "status peers -f pods.yaml", undefined, 0, /^[0-9a-f:]{17}\(node1\)$/m],
  ["docker", "-f - ps", "services: {web: {image: nginx}}\n", 0, /^CONTAINER ID /],
  ["render", "flannel --node node1 -f missing.yaml", undefined, 2, /^$/],
  ["realize", "--print -f pods.yaml", undefined, 0, /^netns cnilab\.node1$/m],
  ["import-node", "--print-collect", undefined, 0, /^#!\/usr\/bin\/env bash\n/],
  ["cni", "list", undefined, 0, /^flannel v/],
  ["completion", "bash", undefined, 0, /_cnilab/],
  ["help", "trace", undefined, 0, /^Usage: cnilab trace /],
];

describe("a process of its own says the same as the program in the process of a test:", () => {
  beforeAll(() => {
    writeFileSync(join(folder, "requests.ndjson"), '{"request":{"url":"http://a.example/"}}\n');
  });

  test.each(COMMANDS)("%s %s", async (command, words, input, status, stdout) => {
    const args = [command, ...words.split(" ")];
    const call = { cwd: folder, ...(input !== undefined && { input }) };
    const { signal, ...ended } = await cnilabProcess(args, call);
    expect(ended).toEqual(await cnilab(args, call));
    expect([signal, ended.status]).toEqual([null, status]);
    expect(ended.stdout).toMatch(stdout);
  });

  test("all commands are among them", async () => {
    const { commands } = await createProgram(["--help"], process);
    expect(COMMANDS.map(([name]) => name)).toEqual(commands.map((each) => each.name()));
  });
});

describe("the process", () => {
  test.each([
    ["--version", ["core/src"], ["linux/src", "cluster/src"]],
    ["run -f pods.yaml", ["linux/src", "flannel/src/index"], ["calico/src/index", "import/src"]],
    ["policy list -f pods.yaml", ["network-policy/src"], ["flannel/src", "calico/src/index"]],
    ["render kube-proxy --node n -f pods.yaml", ["kube-proxy/src"], ["flannel/src"]],
  ])("%s loads what it needs alone", async (words, some, none) => {
    const list = join(folder, "loaded");
    const hook = `import { registerHooks } from "node:module"; import { appendFileSync } from "node:fs";
      registerHooks({ load: (url, context, next) => {
        appendFileSync(${JSON.stringify(list)}, url + "\\n");
        return next(url, context);
      } });`;
    const imported = `data:text/javascript,${encodeURIComponent(hook)}`;
    writeFileSync(list, "");
    const program = [process.execPath, "--import", imported, MAIN];
    await cnilabProcess(words.split(" "), { cwd: folder, program });
    const loaded = readFileSync(list, "utf8");
    const isLoaded = (part: string): boolean => loaded.includes(`/packages/${part}`);
    expect(some.filter(isLoaded)).toEqual(some);
    expect(none.filter(isLoaded)).toEqual([]);
  });

  test("a reader that goes away early is no failure", async () => {
    const { status, stderr } = await cnilabProcess(["show", "iptables", "--node", "node1"], {
      meanwhile: (child) => child.stdout?.destroy(),
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  });

  test("Ctrl-C ends it as the kernel does, which shells tell as 130", async () => {
    const waits = ["run", "-f", "-"];
    const interrupt = (child: { kill(signal: NodeJS.Signals): boolean }) => {
      setTimeout(() => child.kill("SIGINT"), 1000);
    };
    const { signal } = await cnilabProcess(waits, { meanwhile: interrupt });
    expect(signal).toBe("SIGINT");
  });
});

describe("npm run --silent cnilab", () => {
  const npm = (args: string[], call: { input?: string; cwd: string }): Promise<Ended> =>
    cnilabProcess(["run", "--silent", "--prefix", ROOT, "cnilab", "--", ...args], {
      ...call,
      program: ["npm"],
      env: { npm_config_prefix: undefined },
    });

  test("keeps the folder, standard input, standard output and the exit code", async () => {
    writeFileSync(
      join(folder, "pod.yaml"),
      "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c}]}\n",
    );
    const [file, piped, missing, no] = await Promise.all([
      npm(["get", "pods", "-o", "name", "-f", "./pod.yaml"], { cwd: folder }),
      npm(["get", "pods", "-o", "name", "-f", "-"], {
        cwd: folder,
        input: "{apiVersion: v1, kind: Pod, metadata: {name: b}, spec: {containers: [{name: c}]}}",
      }),
      npm(["run", "-f", "missing.yaml"], { cwd: folder }),
      npm(["probe", "a", "a:1", "-f", "pod.yaml"], { cwd: folder }),
    ]);
    expect([file.status, file.stdout]).toEqual([0, "pod/a\n"]);
    expect([piped.status, piped.stdout]).toEqual([0, "pod/b\n"]);
    expect([missing.status, missing.stdout]).toEqual([2, ""]);
    expect(missing.stderr).toContain("cnilab: missing.yaml: there is no such file or folder");
    expect(no.status).toBe(1);
  });
});
