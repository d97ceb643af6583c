import { describe, expect, test } from "vitest";
import { cnilab } from "./cnilab.ts";

const service = (name: string, rest: string) =>
  `{apiVersion: v1, kind: Service, metadata: {name: ${name}}, spec: {type: LoadBalancer, ${rest}selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}}\n---\n`;
const pod = (name: string, node: string) =>
  `{apiVersion: v1, kind: Pod, metadata: {name: ${name}, labels: {app: web}}, spec: {nodeName: ${node}, containers: [{name: c, ports: [{containerPort: 8080}]}]}}\n---\n`;
const INPUT = `${service("local", "externalTrafficPolicy: Local, ")}${service("web", "")}${pod("a", "node1")}${pod("b", "node2")}`;

async function run(args: string): Promise<{ status: number | null; stdout: string }> {
  return cnilab([...args.split(" "), "-f", "-"], { input: INPUT });
}

describe("load balancers", () => {
  test.each([
    ["by a cloud", "", "198.51.100.1", "198.51.100.2"],
    ["by ARP", " --load-balancer l2", "192.168.255.1", "192.168.255.2"],
    ["from a pool", " --load-balancer-set pool=192.0.2.8-192.0.2.9", "192.0.2.8", "192.0.2.9"],
  ])(
    "%s: each Service has an address, and run asks it from outside",
    async (_, flags, local, web) => {
      const { status, stdout } = await run(`run${flags}`);
      expect(status).toBe(0);
      expect(stdout).toContain(
        `  also from outside the cluster: default/local ${local}, default/web ${web}\n`,
      );
      expect(stdout.trimEnd().split("\n").length).toBeLessThanOrEqual(25);
    },
  );

  test("by nobody: they wait", async () => {
    const [told, listed] = await Promise.all([
      run("run --load-balancer none"),
      run("get svc web --no-headers --load-balancer none"),
    ]);
    expect(told.stdout).toContain("  no load balancer serves default/local, default/web\n");
    expect(listed.stdout).toMatch(/^web +LoadBalancer +\S+ +<pending> +80:/);
  });

  test.each([
    [
      "internet svc/local",
      0,
      /^allowed: .*asked for 198\.51\.100\.1:80.*which saw 203\.0\.113\.10$/s,
    ],
    ["internet svc/web:80", 0, /^allowed: .*asked for 198\.51\.100\.2:80/],
    ["internet 198.51.100.2", 0, /^allowed: /],
    ["192.168.9.9 svc/web", 0, /^allowed: .*asked for 198\.51\.100\.2:80/],
    ["a svc/web", 0, /^allowed: .*asked for 10\./],
    ["internet 198.51.100.2:81", 1, /^unreachable: dropped at load-balancer\/eth0 by raw LB-/],
    ["internet node/node1:10250", 1, /^unreachable: /],
    ["internet a:8080", 1, /^unreachable: /],
  ])("probe %s", async (ends, status, expected) => {
    const answer = await run(`probe ${ends}`);
    expect(answer.status).toBe(status);
    expect(answer.stdout.trimEnd()).toMatch(expected);
  });

  test.each(["iptables", "nftables", "ipvs"])(
    "a trace sums up what the Service did, by %s",
    async (mode) => {
      const { stdout } = await run(`trace internet svc/web --level summary --proxy-mode ${mode}`);
      expect(stdout).toMatch(
        /^node[123] chooses 10\.244\.[01]\.2:8080 \(default\/[ab]\) for Service default\/web: /m,
      );
      expect(stdout).toMatch(
        /^node[123] rewrites the source 203\.0\.113\.10 to \S+: external policy Cluster: /m,
      );
    },
  );
});
