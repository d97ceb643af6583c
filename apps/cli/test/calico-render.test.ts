import { expect, test } from "vitest";
import { cnilab } from "./cnilab.ts";
import { scratchFiles } from "./scratch-files.ts";

const file = scratchFiles("calico-render-");

const PODS = `
apiVersion: v1
kind: Pod
metadata: { name: web, labels: { app: web } }
spec: { nodeName: node1, containers: [{ name: c, image: i }] }
status: { podIP: 10.244.1.2, podIPs: [{ ip: 10.244.1.2 }] }
---
apiVersion: v1
kind: Pod
metadata: { name: client, labels: { app: client } }
spec: { nodeName: node2, containers: [{ name: c, image: i }] }
status: { podIP: 10.244.2.2, podIPs: [{ ip: 10.244.2.2 }] }
---
apiVersion: v1
kind: Namespace
metadata: { name: default }
`;

function policy(port: number): string {
  return `
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: { name: web, namespace: default }
spec:
  selector: app == 'web'
  types: [Ingress]
  ingress:
    - action: Allow
      protocol: TCP
      source: { selector: app == 'client' }
      destination: { ports: [${port}] }
`;
}

const INPUT = file("input.yaml", `${PODS}---${policy(80)}`);
const THEN = file("then.yaml", `${PODS}---${policy(81)}`);

function render(...args: readonly string[]) {
  return cnilab(["render", "calico", "--node", "node1", "-f", INPUT, ...args]);
}

test("prints what Felix writes, with the hashes that real nodes have", async () => {
  const { status, stdout } = await render("-o", "felix");
  expect(status).toBe(0);
  // As iptables-save prints them on any node with Calico.
  expect(stdout).toContain('-I PREROUTING -m comment --comment "cali:6gwbT8clXdHdC1b1"');
  expect(stdout).toContain('-I FORWARD -m comment --comment "cali:wUHhoiAYhphO9Mso"');
  expect(stdout).toContain('-I INPUT -m comment --comment "cali:Cz_u1IQiXIMmKD4c"');
  expect(stdout).toContain('-I OUTPUT -m comment --comment "cali:tVnHkvAo15HuiPy0"');
  expect(stdout).toContain('-I POSTROUTING -m comment --comment "cali:O3lYWMrLQYEMJtB5"');
  expect(stdout).toMatch(/^-A cali-pi-np\/default\/web .*--destination-ports 80 /m);
});

test("prints only the chain that a change concerns when it comes to a running Felix", async () => {
  const { stdout } = await render("-o", "felix", "--then", THEN);
  const lines = stdout.trim().split("\n");
  expect(lines).toEqual([
    "*filter",
    ":cali-pi-np/default/web - -",
    expect.stringMatching(/^-A cali-pi-np\/default\/web .*--destination-ports 81 /),
    "COMMIT",
  ]);
});

test.each([
  ["iptables", /^-A cali-pi-np\/default\/web .*-m multiport --dports 80 -j MARK/m],
  ["ip6tables", /^-A cali-wl-to-host -p ipv6-icmp .*--icmpv6-type 135 -j ACCEPT/m],
  ["ipset", /^add cali40s:\S+ 10\.244\.2\.2$/m],
  ["nftables", /oifname vmap @filter-cali-to-wl-dispatch/],
  ["nftables-json", /"name": "filter-cali-pi-np\/default\/web"/],
])("prints what is programmed as %s", async (output, expected) => {
  const { status, stdout } = await render("-o", output);
  expect(status).toBe(0);
  expect(stdout).toMatch(expected);
});

test("takes FelixConfiguration's fields, and refuses what is none", async () => {
  const config = file("felix.json", '{ "spec": { "defaultEndpointToHostAction": "RETURN" } }');
  expect((await render("--config", config, "-o", "iptables")).stdout).toMatch(
    /^-A cali-wl-to-host .*DefaultEndpointToHostAction" -j RETURN$/m,
  );
  const bad = await render("--config", file("bad.json", "[]"));
  expect([bad.status, bad.stdout]).toEqual([2, ""]);
  const unknown = file("unknown.json", '{ "defaultEndpointToHostAktion": "RETURN" }');
  expect((await render("--config", unknown)).stderr).toContain(
    "unknown.json:1: FelixConfiguration default: spec.defaultEndpointToHostAktion is no field there",
  );
  const output = await render("-o", "routes");
  expect(output.stderr).toContain('calico has no output "routes"');
});

test("says when the kernel takes nothing of what Felix makes of its configuration", async () => {
  // Table raw has no REJECT: real nodes fare no better.
  const reject = file("reject.json", '{ "iptablesFilterDenyAction": "REJECT" }');
  const { status, stdout, stderr } = await render("--config", reject, "-o", "iptables");
  expect([status, stdout]).toEqual([2, ""]);
  expect(stderr).toContain("node1: Felix gives up: ");
});
