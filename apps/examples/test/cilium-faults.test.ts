import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";

const program = fileURLToPath(new URL("../cilium-faults/main.ts", import.meta.url));
const docs = new URL("../../../docs/cilium.md", import.meta.url);

/** What the program says by heading, then by Before, Meanwhile and After. */
const said = new Map<string, Map<string, string[]>>();

beforeAll(() => {
  const flags = ["--disable-warning=ExperimentalWarning", program];
  const text = execFileSync(process.execPath, flags, { encoding: "utf8" });
  for (const part of text.split(/^# /m).slice(1)) {
    const [title = "", ...phases] = part.split(/\n\n(?=\w+: )/);
    const lines = phases.map((phase) => {
      return [/^\w+/.exec(phase)?.[0] ?? "", plain(phase).slice(1)] as const;
    });
    said.set(title.trim(), new Map(lines));
  }
});

/** Pods and clients' ports have other numbers in each version of the model; identities and times do not matter. */
function plain(text: string): string[] {
  return text
    .replace(/(ID:|[Ii]dentity[=:])\d{3,}/g, "$1n")
    .replace(/10\.244\.\d+\.\d+(?=\/32| ?->|:)/g, "POD")
    .replace(/((?:web\d|POD)):(?!8080)\d{4,5}/g, "$1")
    .replace(/^ *Jan .*?\[/gm, "[")
    .replace(/(endpoint |policy_v2_|SourceSecurityID=)\d+/g, "$1n")
    .replace(/ {2,}/g, " ")
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
}

const ALLOWED = "policy-verdict:L3-Only INGRESS ALLOWED (TCP Flags: SYN)";
const flow = (node: string, from: string, arrow: string, what: string) =>
  `[${node}]: default/${from} ${arrow} default/db:8080 (ID:n) ${what}`;
const allowed = (pod: string) => flow("node2", `${pod} (ID:n)`, "->", ALLOWED);
const denied = (who: string) => [
  flow("node2", who, "<>", "policy-verdict:none INGRESS DENIED (TCP Flags: SYN)"),
  flow("node2", who, "<>", "Policy denied DROPPED (TCP Flags: SYN)"),
];
const address = (identity: string) =>
  `POD/32 identity=${identity} encryptkey=0 tunnelendpoint=192.168.0.11 flags=hastunnel`;
const RANGE = "10.244.0.0/24 identity=2 encryptkey=0 tunnelendpoint=192.168.0.11 flags=hastunnel";
const IPCACHE = "> show bpf ipcache list --node node2";

type Expected = readonly (string | RegExp)[];

describe.each<
  [
    fault: string,
    phases: Readonly<Record<string, readonly [has: Expected, not: readonly RegExp[]]>>,
  ]
>([
  [
    "An identity that is not told of yet",
    {
      Before: [["web1 asks db: allowed", allowed("web1")], [/version=v2/]],
      Meanwhile: [
        ["web2 asks db: blocked", ...denied("web2 (ID:n)"), IPCACHE, RANGE, address("n")],
        [/version=v2/],
      ],
      After: [["web2 asks db: allowed", allowed("web2"), "k8s:version=v2"], [/DENIED|DROPPED/]],
    },
  ],
  [
    "An ipcache that is stale",
    {
      Before: [["web1 asks db: allowed", allowed("web1"), IPCACHE, RANGE, address("n")], []],
      Meanwhile: [
        ["web2 asks db: blocked", ...denied("web2 (world)"), IPCACHE, RANGE],
        [/POD\/32/],
      ],
      After: [["web2 asks db: allowed", allowed("web2"), IPCACHE, RANGE, address("n")], [/world/]],
    },
  ],
  [
    "Maps that are full",
    {
      Before: [
        [
          "web1 asks db: allowed",
          allowed("web1"),
          "cilium_lb4_services_v2 2 7 hash",
          "cilium_policy_v2_n 3 256 lpm_trie",
        ],
        [/warning/],
      ],
      Meanwhile: [
        [
          'warning: Service default/four is not served at 10.96.0.54:80/TCP: Updating frontend failed: Unable to update service entry 10.96.0.54:80/TCP (0) => 0 1[0] (4) [0x0 0x0]: Unable to update element for LB bpf map: You can resize it with the flag "--bpf-lb-map-max". The resizing might break existing connections to services',
          "warning: endpoint n (default/db) on node2: 147 entries do not fit its policy map: Failed to add PolicyMap key {Prefixlen:40 Identity:n TrafficDirection:0 Nexthdr:0 DestPort:0}: no space left on device",
          "web1 asks db: blocked",
          ...denied("web1 (ID:n)"),
          "cilium_lb4_services_v2 7 7 hash",
          "cilium_policy_v2_n 256 256 lpm_trie",
          "web1 asks 10.96.0.54:80: unreachable",
          "10.96.0.53:80/TCP (0) 0.0.0.0:0 (3) (0) [ClusterIP, non-routable]",
          "10.96.0.54:80/TCP (1) POD:8080/TCP (4) (1)",
        ],
        [/k8s:app=web/, /^10\.96\.0\.54:80\/TCP \(0\)/, /xlate/],
      ],
      After: [
        [
          "web1 asks db: allowed",
          allowed("web1"),
          "cilium_lb4_services_v2 6 7 hash",
          "cilium_policy_v2_n 13 256 lpm_trie",
          /^Allow Ingress k8s:app=web ANY NONE disabled /,
          "web1 asks 10.96.0.54:80: allowed",
          flow("node1", "web1 (ID:n)", "<>", "post-xlate-fwd TRANSLATED (TCP)"),
          "10.96.0.54:80/TCP (0) 0.0.0.0:0 (4) (0) [ClusterIP, non-routable]",
        ],
        [/warning/],
      ],
    },
  ],
  [
    "An agent that starts again",
    {
      Before: [
        [
          "100 of 100 bytes arrive, the connection is ESTAB",
          /^\[node1\]: default\/web1 .* to-overlay FORWARDED/,
          /^\[node2\]: default\/web1 .* to-overlay FORWARDED/,
          /^TCP IN POD -> POD:8080 expires=8000 .* SourceSecurityID=n BackendID=0$/,
        ],
        [],
      ],
      Meanwhile: [
        [
          "100 of 100 bytes arrive, the connection is ESTAB",
          /^\[node1\]: default\/web1 .* to-overlay FORWARDED/,
          /^TCP IN POD -> POD:8080 expires=8060 /,
          "web1 asks db: allowed",
          "web2 asks db: blocked",
          flow("node1", "web2 (ID:n)", "->", "to-overlay FORWARDED (TCP Flags: SYN)"),
          /^Allow Ingress k8s:app=web ANY NONE disabled /,
          IPCACHE,
          RANGE,
        ],
        [/^\[node2\]/, /version=v2/, /POD\/32/],
      ],
      After: [
        [
          "100 of 100 bytes arrive, the connection is ESTAB",
          /^\[node2\]: default\/web1 .* to-overlay FORWARDED/,
          /^TCP IN POD -> POD:8080 expires=8120 /,
          "web2 asks db: allowed",
          allowed("web2"),
          "k8s:version=v2",
          RANGE,
          address("n"),
        ],
        [/DENIED|DROPPED/],
      ],
    },
  ],
])("%s", (fault, phases) => {
  test.each(Object.entries(phases))("%s", (phase, [has, not]) => {
    const lines = said.get(fault)?.get(phase) ?? [];
    // In this order.
    let rest = lines;
    for (const expected of has) {
      const at = rest.findIndex((line) =>
        typeof expected === "string" ? line === expected : expected.test(line),
      );
      if (at < 0) expect(rest).toContainEqual(expected);
      rest = rest.slice(at + 1);
    }
    for (const unexpected of not) {
      expect(lines.filter((line) => unexpected.test(line))).toEqual([]);
    }
  });
});

test("docs/cilium.md has what it says", () => {
  const [, section = ""] = readFileSync(docs, "utf8").split("## When things go wrong\n");
  const [part = ""] = section.split(/^## /m);
  const shown = [...part.matchAll(/^```\n([\s\S]*?)^```$/gm)].flatMap(([, text = ""]) =>
    plain(text),
  );
  expect(shown.length).toBeGreaterThan(20);
  const lines = new Set([...said.values()].flatMap((phases) => [...phases.values()].flat()));
  expect(shown.filter((line) => !lines.has(line))).toEqual([]);
});
