import { InputError, type KubeObject, type Protocol } from "@cnilab/core";
import {
  inferIntent,
  ingressConnections,
  KUBERNETES_POLICIES,
  type RecordedFlow,
  suggestPolicies,
  type Workload,
} from "@cnilab/network-policy";
import { type Command, Option } from "commander";
import { printObjects } from "../../output.ts";
import type { ProgramIo } from "../../program-io.ts";
import { readSource } from "../../read-input.ts";
import { addInputFlag, type InputFlags, readInput } from "./input.ts";

interface SuggestFlags extends InputFlags {
  readonly traffic?: string;
  readonly output: "yaml" | "json";
}

export function addSuggestCommand(policy: Command, io: ProgramIo): void {
  const command = policy
    .command("suggest")
    .description(
      "NetworkPolicies that let through what the manifests say the application calls, and no more",
    )
    .option(
      "--traffic <file>",
      'recorded traffic as well: one {"src":"ns/workload","dst":"ns/workload","port":80,"protocol":"TCP"} a line',
    )
    .addOption(new Option("-o, --output <format>").choices(["yaml", "json"]).default("yaml"));
  addInputFlag(command).action((flags) => suggest(io, flags));
}

async function suggest(io: ProgramIo, flags: SuggestFlags): Promise<void> {
  const objects: readonly KubeObject[] = await readInput(io, flags);
  const intent = inferIntent(objects);
  const recorded =
    flags.traffic === undefined ? [] : await readTraffic(io, flags.traffic, intent.workloads);
  const ingress = ingressConnections(objects, NO_POLICIES, intent.workloads);
  printObjects(io, suggestPolicies(intent, { recorded, ingress }), flags.output, false);
}

/** The question is what Ingresses lead to, whether policies let it through or not. */
const NO_POLICIES = KUBERNETES_POLICIES.read([]);

/** @throws InputError for a line that is not understood */
async function readTraffic(
  io: ProgramIo,
  path: string,
  all: readonly Workload[],
): Promise<readonly RecordedFlow[]> {
  const { name, text } = await readSource(io, path);
  return text.split("\n").flatMap((line, i) => {
    if (line.trim() === "") return [];
    return [readFlow(line, `${name}:${i + 1}`, all)];
  });
}

function readFlow(line: string, where: string, all: readonly Workload[]): RecordedFlow {
  let flow: unknown;
  try {
    flow = JSON.parse(line);
  } catch {
    throw new InputError("is not JSON; write one object a line", where);
  }
  if (typeof flow !== "object" || flow === null) throw new InputError("must be an object", where);
  const { src, dst, port, protocol = "TCP" } = flow as Readonly<Record<string, unknown>>;
  const number = Number.isInteger(port) ? (port as number) : 0;
  if (number < 1 || number > 65_535) {
    throw new InputError("port must be a number from 1 to 65535", where);
  }
  if (!["TCP", "UDP", "SCTP"].includes(protocol as string)) {
    throw new InputError("protocol must be TCP, UDP or SCTP", where);
  }
  return {
    from: find(src, where, all),
    to: find(dst, where, all),
    protocol: protocol as Protocol,
    port: number,
  };
}

function find(name: unknown, where: string, all: readonly Workload[]): Workload {
  const found = all.find(({ namespace, name: own }) => `${namespace}/${own}` === name);
  if (found !== undefined) return found;
  throw new InputError(
    `${JSON.stringify(name) ?? "nothing"} is no workload of the input, as "ns/name"`,
    where,
  );
}
