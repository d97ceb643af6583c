import { existsSync, globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { KubeObject } from "@cnilab/core";
import { parseIp, parsePrefix } from "@cnilab/net";
import {
  allPorts,
  evaluateSide,
  type IpProtocol,
  icmpNumber,
  type PolicyEndpoint,
  type PolicyView,
} from "@cnilab/network-policy";
import { describe, expect, test } from "vitest";
import { asLabels } from "../../src/analyse/endpoint-labels.ts";
import { policyView } from "../../src/analyse/policy-reader.ts";
import { parseLabels } from "../../src/labels/label-set.ts";
import { DEFAULT_POLICY_SETTINGS, type PolicySettings } from "../../src/policy/policy-settings.ts";

// The verdicts of the real policy maps, asked of the analyser: identities as the ends of flows.

const FOLDER = fileURLToPath(new URL("../../../../../shared/vectors/cilium/", import.meta.url));

interface GivenIdentity {
  readonly id: number;
  readonly labels: readonly string[];
  readonly prefix?: string;
}

interface Vectors {
  readonly suite: string;
  readonly common: {
    readonly clusterName: string;
    readonly namedPorts: Readonly<Record<string, number>>;
    readonly podIdentities: readonly GivenIdentity[];
    readonly reservedIdentities: readonly GivenIdentity[];
  };
  readonly cases: readonly PolicyCase[];
}

interface PolicyCase {
  readonly name: string;
  readonly policies: readonly KubeObject[];
  readonly subject: number;
  readonly enforcement: PolicySettings["enforcement"];
  readonly allowLocalhost: PolicySettings["allowLocalhost"];
  readonly dualStack: boolean;
  readonly localClusterDefault: boolean;
  readonly identities?: readonly GivenIdentity[];
  readonly cidrIdentities: readonly GivenIdentity[] | null;
  readonly lookups:
    | readonly (readonly ["ingress" | "egress", number, string, number, string])[]
    | null;
  readonly rejected?: string;
  readonly resolveError?: string;
}

const FILES = existsSync(FOLDER) ? globSync("policy-*.json", { cwd: FOLDER }).sort() : [];
const PROTOCOLS = ["TCP", "UDP", "SCTP"] as const;

test.skipIf(FILES.length === 0)("policies of ../shared/vectors/cilium are there", () => {
  expect(FILES.length).toBeGreaterThan(0);
});

describe.each(FILES)("%s", (file) => {
  const { common, cases } = JSON.parse(readFileSync(`${FOLDER}${file}`, "utf8")) as Vectors;
  const ports = Object.entries(common.namedPorts).flatMap(([name, port]) =>
    PROTOCOLS.map((protocol) => ({ name, port, protocol })),
  );
  // Whose ports have names.
  const named = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "named", namespace: "named" },
    spec: {
      containers: [
        { name: "c", ports: ports.map(({ port, ...more }) => ({ containerPort: port, ...more })) },
      ],
    },
  } as unknown as KubeObject;

  test.each(cases)("$name", (given) => {
    const view = policyView([...given.policies, named], {
      ...DEFAULT_POLICY_SETTINGS,
      clusterName: common.clusterName,
      enforcement: given.enforcement,
      allowLocalhost: given.allowLocalhost,
      defaultLocalCluster: given.localClusterDefault,
      dualStack: given.dualStack,
      hostFirewall: true,
      cidrMatchesNodes: false,
      audit: false,
      labelPatterns: [],
    });
    if (given.rejected !== undefined) {
      expect(view.ignored.map(({ object }) => object)).toContain(given.policies[0]);
      return;
    }
    // Of endpoints whose policy cannot be computed there is nothing to ask.
    if (given.resolveError !== undefined) return;
    const identities = new Map(
      [
        ...common.reservedIdentities,
        ...common.podIdentities,
        ...(given.identities ?? []),
        ...(given.cidrIdentities ?? []),
      ].map((each) => [each.id, each]),
    );
    const endpoints = new Map(
      [...identities].map(([id, each]) => [id, endpointOf(each, [...identities.values()], ports)]),
    );
    const own = endpoints.get(given.subject) as PolicyEndpoint;
    const wrong = (given.lookups ?? []).flatMap(([direction, id, protocol, port, verdict]) => {
      // What DNS has told of is not known here.
      if (identities.get(id)?.labels.some((each) => each.startsWith("fqdn:"))) return [];
      const found = say(view, direction, own, endpoints.get(id) as PolicyEndpoint, protocol, port);
      const expected = verdict
        .replace(/:\d+/, "")
        .replace(/\+auth.*$/, "")
        .replace("default-", "");
      return found === expected
        ? []
        : [`${direction} ${id} ${protocol} ${port}: ${found}, not ${verdict}`];
    });
    expect(wrong).toEqual([]);
  });
});

function say(
  { policies, settings }: PolicyView,
  direction: "ingress" | "egress",
  own: PolicyEndpoint,
  peer: PolicyEndpoint,
  name: string,
  number: number,
): string {
  const [source, destination] = direction === "egress" ? [own, peer] : [peer, own];
  const protocol = name as IpProtocol;
  const isIcmp = name.startsWith("ICMP");
  const port = isIcmp ? icmpNumber(number, 0) : Math.max(number, allPorts(protocol).first);
  const flow = { source, destination, protocol, port };
  const { allowed, steps } = evaluateSide(policies, direction, flow, settings);
  if (!allowed) return "deny";
  return steps.at(-1)?.rule?.rule.provided?.includes("a proxy") ? "redirect" : "allow";
}

/** Somebody who has the identity. */
function endpointOf(
  { id, labels: texts, prefix }: GivenIdentity,
  all: readonly GivenIdentity[],
  ports: NonNullable<PolicyEndpoint["ports"]>,
): PolicyEndpoint {
  const labels = parseLabels(texts);
  const has = (key: string) => labels.some((each) => each.key === key);
  const isHost = has("host");
  const isNode = isHost || has("remote-node");
  const address = parseIp(prefix === undefined ? "198.18.0.1" : addressIn(prefix, all));
  return {
    name: String(id),
    address,
    labels: asLabels(isHost ? parseLabels(["reserved:remote-node"]) : labels),
    ports,
    ...(isNode && { nodeLabels: {} }),
    ...(!isNode && id >= 256 && prefix === undefined && { node: "here" }),
    ...(isHost && { node: "here" }),
    ...(isNode && !isHost && { node: `elsewhere ${id}` }),
    ...(has("init") && { node: "here" }),
  };
}

/** An address that is in no narrower range. */
function addressIn(text: string, all: readonly GivenIdentity[]): string {
  const range = parsePrefix(text);
  const narrower = all.flatMap(({ prefix }) => {
    const other = prefix === undefined ? undefined : parsePrefix(prefix);
    return other !== undefined && other.length > range.length && range.covers(other) ? [other] : [];
  });
  const isFree = (address: string) => !narrower.some((each) => each.contains(parseIp(address)));
  const [start] = text.split("/");
  const candidates = text.includes(":")
    ? [start as string, "fd77::1", "2001:db8:ffff::1"]
    : [
        start as string,
        ...[1, 64, 128, 200, 255].flatMap((byte) => {
          const bytes = (start as string).split(".");
          return [3, 2, 1, 0].map((at) => bytes.map((b, i) => (i === at ? byte : b)).join("."));
        }),
      ];
  const found = candidates.find((address) => range.contains(parseIp(address)) && isFree(address));
  if (found === undefined) throw new Error(`no address of ${text} alone`);
  return found;
}
