import type { KubeObject, Protocol } from "@cnilab/core";
import { InputError } from "@cnilab/core";
import { formatIp, tryParseIp } from "@cnilab/net";
import {
  evaluate,
  outsideEndpoint,
  type PolicyEndpoint,
  type PolicyRule,
  type PolicyView,
  policyEndpoints,
  type Workload,
  workloadName,
  workloads,
} from "@cnilab/network-policy";
import { type Command, Option } from "commander";
import { warn } from "../../cluster-flags.ts";
import { print, printJson } from "../../output.ts";
import { policyReader, policyWarnings } from "../../policy-reader.ts";
import type { ProgramIo } from "../../program-io.ts";
import { addPolicyFlags, type PolicyFlags, readInput } from "./input.ts";
import { remedies } from "./remedies.ts";
import { sideText } from "./side-text.ts";

interface ExplainFlags extends PolicyFlags {
  readonly protocol: Lowercase<Protocol>;
  readonly output: "text" | "json";
}

export function addExplainPolicyCommand(policy: Command, io: ProgramIo): void {
  const command = policy
    .command("explain")
    .description(
      "which policies and rules decide about one connection, and what would have to change",
    )
    .argument("<src>", "ns/workload, workload, node/NAME, or an outside address")
    .argument("<dst:port>", "the same, with a port: a number or the name of a container port")
    .addOption(new Option("--protocol <name>").choices(["tcp", "udp", "sctp"]).default("tcp"))
    .addOption(new Option("-o, --output <format>").choices(["text", "json"]).default("text"));
  addPolicyFlags(command).action((src, dst, flags) => explain(io, src, dst, flags));
}

async function explain(
  io: ProgramIo,
  src: string,
  dst: string,
  flags: ExplainFlags,
): Promise<void> {
  const objects = await readInput(io, flags);
  const { reader, warnings } = await policyReader(io, flags);
  const view = reader.read(objects);
  warn(io, [...warnings, ...(await policyWarnings(objects, reader, view))]);
  const { policies, endpoint, settings } = view;
  const protocol = flags.protocol.toUpperCase() as Protocol;
  const source = findPeer(src, objects, endpoint);
  const { name, port: wanted } = splitPort(dst);
  const destination = findPeer(name, objects, endpoint);
  const port = portOf(wanted, destination, protocol, dst);
  const flow = { source: source.endpoint, destination: destination.endpoint, protocol, port };
  const verdict = evaluate(policies, flow, { ...settings, blocksMatchPods: false });
  if (flags.output === "json") {
    printJson(io, {
      source: source.name,
      destination: destination.name,
      protocol,
      port,
      allowed: verdict.allowed,
      egress: side(verdict.egress),
      ingress: side(verdict.ingress),
    });
  } else {
    const word = verdict.allowed ? "allowed" : "denied";
    print(
      io,
      [
        `${source.name} => ${destination.name} ${protocol} ${port}: ${word}`,
        ...(hasPolicies(source.endpoint) ? sideText("egress", source.name, verdict.egress) : []),
        ...(hasPolicies(destination.endpoint)
          ? sideText("ingress", destination.name, verdict.ingress)
          : []),
        ...remedies(verdict, flow),
      ].join("\n"),
    );
  }
  if (!verdict.allowed) io.exitCode = 1;
}

function side({ allowed, steps }: ReturnType<typeof evaluate>["egress"]): object {
  return {
    allowed,
    steps: steps.map(({ tier, told, logged, rule, says }) => ({
      tier: tier.name,
      says,
      selectedBy: told.map(({ object }) => `${object.kind} ${object.metadata.name}`),
      ...(logged.length > 0 && { logged: logged.map(placeOf) }),
      ...(rule !== undefined && { rule: placeOf(rule) }),
    })),
  };
}

function placeOf({ policy: { object }, rule }: PolicyRule): object {
  return {
    policy: `${object.kind} ${object.metadata.name}`,
    path: rule.path,
    ...(rule.provided !== undefined && { provided: rule.provided }),
  };
}

interface Peer {
  readonly name: string;
  readonly endpoint: PolicyEndpoint;
}

/** @throws InputError where there is no such workload, or several */
function findPeer(
  text: string,
  objects: readonly KubeObject[],
  endpoint: PolicyView["endpoint"],
): Peer {
  const address = tryParseIp(text.replace(/^\[|\]$/g, ""));
  if (address !== undefined) {
    const node = nodesOf(objects).find((each) => formatIp(each.address) === formatIp(address));
    return { name: node?.name ?? text, endpoint: endpoint(node ?? outsideEndpoint(address)) };
  }
  if (text.startsWith("node/")) {
    const node = nodesOf(objects).find(({ name }) => name === text);
    if (node !== undefined) return { name: text, endpoint: endpoint(node) };
    throw new InputError("is no node of the input that has an address", `"${text}"`);
  }
  const all = workloads(objects, endpoint);
  const words = text.split("/").filter((word) => !KIND_WORDS.has(word));
  const [namespace, name] = words.length > 1 ? words : ["default", words[0]];
  const found = all.filter((each) => each.namespace === namespace && each.name === name);
  const [workload] = found;
  if (workload === undefined) {
    const known = all.slice(0, 8).map(({ namespace: of, name: n }) => `${of}/${n}`);
    throw new InputError(
      `is no workload of the input; there are ${known.join(", ")}${all.length > 8 ? ", …" : ""}`,
      `"${text}"`,
    );
  }
  return { name: workloadName(workload), endpoint: firstPod(workload) };
}

function nodesOf(objects: readonly KubeObject[]): readonly PolicyEndpoint[] {
  const nodes = objects.filter(({ kind }) => kind === "Node");
  return ([4, 6] as const).flatMap((family) => policyEndpoints(nodes, family));
}

/** Whether policies can be for it. */
function hasPolicies({ pod, nodeLabels }: PolicyEndpoint): boolean {
  return pod !== undefined || nodeLabels !== undefined;
}

const KIND_WORDS = new Set([
  "deploy",
  "deployment",
  "sts",
  "statefulset",
  "ds",
  "daemonset",
  "pod",
  "job",
  "rs",
  "replicaset",
]);

function firstPod({ pods }: Workload): PolicyEndpoint {
  return pods[0] as PolicyEndpoint;
}

function splitPort(text: string): { readonly name: string; readonly port: string } {
  const match = /^(.+):([^:\]]+)$/.exec(text);
  if (match === null) throw new InputError("needs a port, as shop/db:5432", `"${text}"`);
  return { name: match[1] as string, port: match[2] as string };
}

function portOf(text: string, { endpoint }: Peer, protocol: Protocol, where: string): number {
  const number = /^\d{1,5}$/.test(text) ? Number(text) : undefined;
  if (number !== undefined && number >= 1 && number <= 65_535) return number;
  const named = endpoint.ports?.find((port) => port.name === text && port.protocol === protocol);
  if (named !== undefined) return named.port;
  throw new InputError(
    `has no ${protocol} port "${text}"; give a number from 1 to 65535 or a container port's name`,
    `"${where}"`,
  );
}
