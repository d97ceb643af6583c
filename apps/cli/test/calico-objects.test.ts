// Calico's own kinds, as people write them and as clusters dump them.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseManifests } from "@cnilab/cluster/objects";
import { InputError } from "@cnilab/core";
import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { CUSTOM, RESOURCES } from "../src/custom-resources.ts";
import { KindNames } from "../src/kinds.ts";
import { cnilab } from "./cnilab.ts";

const FILE = fileURLToPath(new URL("calico/objects.yaml", import.meta.url));
const TEXT = readFileSync(FILE, "utf8");
const parse = (text: string) => parseManifests(text, "in.yaml", { resources: RESOURCES });

describe("get", () => {
  it.each<[args: string, text: string]>([
    [
      "ippools",
      `NAME     CIDR             VXLAN    IPIP          NAT    ALLOCATABLE   AGE
rack-1   10.48.0.0/17     Never    CrossSubnet   true                 1s
rack-2   10.48.128.0/17   Always   Never         true                 1s
`,
    ],
    [
      "pool/rack-2 -o wide",
      `NAME     CIDR             VXLAN    IPIP    NAT    ALLOCATABLE   AGE   DISABLED   DISABLEBGPEXPORT   SELECTOR             ASSIGNMENTMODE
rack-2   10.48.128.0/17   Always   Never   true                 1s    true       false              rack in {'2', '3'}   Automatic
`,
    ],
    ["netpol -A", "NAMESPACE   NAME   POD-SELECTOR   AGE\nprod        api    app=api        1s\n"],
    [
      "networkpolicies.projectcalico.org -n prod",
      "NAME   TIER      ORDER\napi    default   500.5\n",
    ],
    [
      "tiers,hep --no-headers",
      "tier.projectcalico.org/security   200   Deny   \n\nhostendpoint.projectcalico.org/node1-eth0   node1   eth0\n",
    ],
    ["gnp -o name -l from=dump", "globalnetworkpolicy.projectcalico.org/node-ports\n"],
    ["sa -n prod", "NAME   SECRETS   AGE\napi    0         1s\n"],
  ])("%s", async (args, text) => {
    const answer = await cnilab(["get", ...args.split(" "), "--cni", "none", "-f", FILE]);
    expect({ status: answer.status, stdout: answer.stdout }).toEqual({ status: 0, stdout: text });
  });

  it("prints what goes back in as it came out", async () => {
    const kinds = "ippools,bgppeers,tiers,gnp,netpol,networkpolicies.projectcalico.org,hep,gns";
    const args = ["get", kinds, "-A", "-o", "yaml", "--cni", "none", "-f"];
    const first = await cnilab([...args, FILE]);
    const second = await cnilab([...args, "-"], { input: first.stdout });
    const specs = (text: string) =>
      parse(text).objects.map(({ kind, metadata, ...rest }) => [kind, metadata.name, rest]);
    expect(specs(second.stdout)).toEqual(specs(first.stdout));
    expect(specs(first.stdout).length).toBe(10);
  });
});

test("a CNI that does not bring the kinds says so, once for policies of a kind and once for all else", async () => {
  const { stdout } = await cnilab(["run", "-o", "json", "-f", FILE]);
  const warnings: string[] = JSON.parse(stdout).warnings;
  expect(warnings.slice().sort()).toEqual([
    "GlobalNetworkPolicy node-ports, security.block-threats are not enforced: this CNI has no engine for it",
    "NetworkPolicy prod/api is not enforced: this CNI has no engine for it",
    "NetworkPolicy.projectcalico.org prod/api is not enforced: this CNI has no engine for it",
    "StagedNetworkPolicy prod/trial is not enforced: it is staged, which only counts what it would do",
    "nobody reads BGPConfiguration, BGPFilter, BGPPeer, FelixConfiguration, GlobalNetworkSet, HostEndpoint, IPPool (2), NetworkSet, Tier: flannel has no such kinds",
  ]);
});

describe("kinds by name", () => {
  const names = new KindNames();

  it.each([
    ["networkpolicies", "NetworkPolicy"],
    ["networkpolicies.networking.k8s.io", "NetworkPolicy"],
    ["networkpolicies.v1.networking.k8s.io", "NetworkPolicy"],
    ["networkpolicies.projectcalico.org", "NetworkPolicy.projectcalico.org"],
    ["NetworkPolicy.v3.projectcalico.org", "NetworkPolicy.projectcalico.org"],
    ["cnp", "ClusterNetworkPolicy"],
    ["cnp.projectcalico.org", "NetworkPolicy.projectcalico.org"],
    ["caliconetworkpolicy", "NetworkPolicy.projectcalico.org"],
    ["pools", "IPPool.projectcalico.org"],
    ["ipamconfig", "IPAMConfiguration.projectcalico.org"],
    ["deployments.apps", "Deployment"],
  ])("%s is %s", (word, kind) => {
    expect(names.read(word)).toEqual([kind]);
  });

  it.each(["pods.projectcalico.org", "ippools.example.com.", "ippoolz", ""])(
    "%j is nothing",
    (word) => {
      expect(() => names.read(word)).toThrow(InputError);
    },
  );

  it("each name of the list is found again", () => {
    for (const name of names.all) expect(names.all).toContain(name);
    expect(new Set(names.all.flatMap((name) => names.read(name))).size).toBe(names.all.length);
  });
});

/** The file with one text in place of another, which is there once. */
function changed(from: string, to: string): string {
  expect(TEXT.split(from).length).toBe(2);
  return TEXT.replace(from, to);
}

test.each<[from: string, to: string, where: string, message: string]>([
  [
    "cidr: 10.48.0.0/17",
    "cidr: 10.48.0.1/17",
    "IPPool rack-1",
    "spec.cidr has bits set behind its length",
  ],
  [
    "order: 500.5",
    "order: first",
    "NetworkPolicy.projectcalico.org prod/api",
    "spec.order must be a number",
  ],
  [
    '"9000:9010"',
    '"9010:9000"',
    "NetworkPolicy.projectcalico.org prod/api",
    "spec.ingress[0].destination.ports[1] must be a port",
  ],
  [
    "applyOnForward: true",
    "applyOnForward: false",
    "GlobalNetworkPolicy node-ports",
    "spec.applyOnForward must be true",
  ],
  [
    "peerIP: 192.168.0.250",
    "peerIP: router.example.com",
    "BGPPeer to-rack-1",
    "spec.peerIP must be an address",
  ],
  [
    "defaultEndpointToHostAction: Return",
    "defaultEndpointToHostActoin: Return",
    "FelixConfiguration default",
    "spec.defaultEndpointToHostActoin is no field there; perhaps defaultEndpointToHostAction",
  ],
  [
    "matchOperator: Equal",
    "matchOperator: equal",
    "BGPFilter no-default",
    "spec.importV4[0].matchOperator must be Equal, NotEqual, In or NotIn",
  ],
  ["node: node1,", "", "HostEndpoint node1-eth0", "spec.node is required"],
])("%s made %s: the line, the object, the field", (from, to, where, message) => {
  const text = changed(from, to);
  const line = text.slice(0, text.indexOf(to)).split("\n").length;
  let found: unknown;
  try {
    parse(text);
  } catch (error) {
    found = error;
  }
  expect(found).toBeInstanceOf(InputError);
  const told = (found as InputError).message;
  expect(told).toContain(`${where}: ${message}`);
  // Where a field is missing, the nearest thing above it that is there.
  const at = Number(/^in\.yaml:(\d+): /.exec(told)?.[1]);
  expect(at === line || message.includes("required") || message.includes("must be true")).toBe(
    true,
  );
});

test.each([
  [
    "cidr: 10.48.128.0/17,",
    "cidr: 10.48.64.0/18,",
    /^IPPool rack-\d: spec\.cidr \S+ overlaps \S+ of IPPool rack-\d; give each its own range$/,
  ],
  [
    "tier: security\n",
    "tier: sekurity\n",
    /^GlobalNetworkPolicy security\.block-threats: spec\.tier is sekurity, and there is no such Tier/,
  ],
])("what does not fit together is refused: %s", async (from, to, message) => {
  const answer = await cnilab(["get", "pods", "--cni", "none", "-f", "-"], {
    input: changed(from, to),
  });
  expect({ status: answer.status, stdout: answer.stdout }).toEqual({ status: 2, stdout: "" });
  expect(answer.stderr.trimEnd().replace(/^cnilab: /, "")).toMatch(message);
});

test("however the text is cut and put together, it is read or refused in one line", () => {
  const lines = TEXT.split("\n");
  const line = fc.nat(lines.length - 1);
  fc.assert(
    fc.property(
      fc.array(fc.tuple(line, fc.oneof(line, fc.string({ maxLength: 30 }))), { maxLength: 4 }),
      (edits) => {
        const text = lines.slice();
        for (const [at, by] of edits)
          text[at] = typeof by === "number" ? (lines[by] as string) : by;
        try {
          for (const object of parse(text.join("\n")).objects) {
            expect(CUSTOM.stored(object)).toBe(object);
            expect(CUSTOM.defaulted(object)).toBe(object);
          }
        } catch (error) {
          if (!(error instanceof InputError)) throw error;
          expect(error.message.split("\n").length).toBe(1);
        }
      },
    ),
    { numRuns: 500 },
  );
});
