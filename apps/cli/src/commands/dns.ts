import type { Endpoint, NameAnswer } from "@cnilab/cluster";
import { InputError } from "@cnilab/core";
import {
  type DigSetback,
  digFailureText,
  digText,
  domainNameProblem,
  parseResolvConf,
  type ResolverStep,
  typeNumber,
} from "@cnilab/dns";
import { formatIp } from "@cnilab/net";
import { type Command, Option } from "commander";
import { warn } from "../cluster-flags.ts";
import { lookupJson } from "../dns/lookup-json.ts";
import { print, printJson } from "../output.ts";
import type { ProgramIo } from "../program-io.ts";
import { addWalkFlags, type WalkFlags, walkable } from "../walkable.ts";
import { addDnsServeCommand } from "./dns-serve.ts";

/** How what a resolver got is printed. */
export type AnswerOutput = "text" | "dig" | "json";

interface DnsFlags extends WalkFlags {
  readonly namespace?: string;
  readonly output: AnswerOutput;
}

export function addDnsCommand(program: Command, io: ProgramIo): void {
  const command = program
    .command("dns")
    .description("what a pod's resolver gets for a name, search path and all")
    .argument("<pod>", "who asks: ns/pod, deploy/NAME, node/NAME, internet, an address")
    .argument("<name>", "as a program would give it; a dot at the end leaves the search path out")
    .argument(
      "[type]",
      "records of this type alone, as SRV, PTR, TXT; addresses where it is absent",
    )
    .option("-n, --namespace <name>", "namespace of pods that have none")
    .addOption(answerOutputOption())
    .enablePositionalOptions()
    .helpCommand(false);
  addWalkFlags(command).action((pod, name, type, flags) => dns(io, pod, name, type, flags));
  addDnsServeCommand(command, io);
}

export function answerOutputOption(): Option {
  return new Option("-o, --output <format>", "text, as dig prints answers, or json")
    .choices(["text", "dig", "json"])
    .default("text");
}

async function dns(
  io: ProgramIo,
  pod: string,
  name: string,
  type: string | undefined,
  flags: DnsFlags,
): Promise<void> {
  if (name === "") throw new InputError("the name is empty; say what to ask for", "dns");
  const wanted = type === undefined ? undefined : readType(type);
  const { cluster, warnings } = await walkable(io, flags);
  const scope = flags.namespace === undefined ? {} : { namespace: flags.namespace };
  const from: Endpoint = cluster.endpoint(pod, scope);
  cluster.forgetConnections();
  const found = cluster.lookUp(from, name, { type: wanted });
  warn(io, [...warnings, ...cluster.warnings]);
  if ("verdict" in found) throw new InputError(found.reason, pod);
  printAnswer(io, { who: pod, name, type: wanted }, found, flags.output);
}

/** Prints what a resolver got, and sets the exit code. */
export function printAnswer(
  io: ProgramIo,
  asked: { readonly who: string; readonly name: string; readonly type: string | undefined },
  found: NameAnswer,
  output: AnswerOutput,
): void {
  const { who, name, type } = asked;
  if (output === "json") printJson(io, json(who, name, type, found));
  else if (output === "dig") print(io, asDig(name, found));
  else print(io, text(who, name, found));
  if (found.problem !== undefined) io.exitCode = 1;
}

/** The name of a type of record, in capitals. @throws InputError */
export function readType(text: string): string {
  const type = text.toUpperCase();
  if (typeNumber(type) !== undefined) return type;
  throw new InputError(
    `"${text}" is no type of record; write A, AAAA, SRV, PTR, CNAME, TXT, SOA or another`,
    "dns",
  );
}

function text(pod: string, name: string, found: NameAnswer): string {
  const { nameservers, search, options } = parseResolvConf(found.resolvConf);
  const option = options.map((o) => (o.value === undefined ? o.name : `${o.name}:${o.value}`));
  const asks = [
    `${pod} asks ${nameservers.map(formatIp).join(", ") || "nobody"}`,
    ...(search.length === 0 ? [] : [`search ${search.join(" ")}`]),
    ...(option.length === 0 ? [] : [`options ${option.join(" ")}`]),
  ].join("; ");
  const steps = aligned(found.steps.map((step, i) => [`  ${i + 1}`, ...cells(step)]));
  return [asks, ...steps, conclusion(name, found)].join("\n");
}

/** Below each other, and whole: what is cut off of an answer is lost. */
function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((r) => r[i]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

/** The answers to the last name that was tried, as `dig +search` prints them. */
function asDig(name: string, { steps, unasked }: NameAnswer): string {
  if (unasked === "no name")
    return `dig: '${name}' is not a legal name: ${domainNameProblem(name)}`;
  const last = steps.at(-1)?.name;
  const shown = steps.filter((step) => step.name === last);
  if (shown.length === 0) return ";; no servers could be reached";
  const types = [...new Set(shown.map(({ type }) => type))];
  const args = `+search ${types.map((type) => `${name} ${type}`).join(" ")}`;
  const texts = types.map((type, i) =>
    digOf(
      shown.filter((step) => step.type === type),
      i === 0 ? args : undefined,
    ),
  );
  return texts.join("");
}

/** One question: what went wrong at first is a line each, what was answered is told whole. */
function digOf(steps: readonly ResolverStep[], args: string | undefined): string {
  let setbacks: DigSetback[] = [];
  let text = "";
  const begin = () => ({ ...(args === undefined || text !== "" ? {} : { args }), setbacks });
  steps.forEach((step, i) => {
    const { protocol, answer, sentAt, endedAt } = step;
    const server = { address: step.server, port: 53, protocol };
    const what = setbackOf(step, steps[i + 1]);
    if (what !== undefined) {
      setbacks.push({ server, what });
    } else if (answer !== undefined) {
      const queryTimeMs = endedAt - sentAt;
      text += digText(answer, { ...begin(), server, at: endedAt, queryTimeMs });
      setbacks = [];
    }
  });
  return setbacks.length === 0 ? text : text + digFailureText(begin());
}

function setbackOf(
  { answer, outcome, protocol }: ResolverStep,
  next: ResolverStep | undefined,
): DigSetback["what"] | undefined {
  if (answer === undefined) {
    if (outcome === "timeout") return "timed out";
    return outcome === "refused" ? "connection refused" : "network unreachable";
  }
  const again = protocol === "udp" && next?.protocol === "tcp";
  return answer.flags.tc && again ? "truncated" : undefined;
}

function cells(step: ResolverStep): string[] {
  const { name, type, server, protocol, outcome, answer, sentAt, endedAt } = step;
  const took = endedAt > sentAt ? ` after ${(endedAt - sentAt) / 1000} s` : "";
  const records = (answer?.answer ?? []).map((r) =>
    r.type === type ? r.data : `${r.type} ${r.data}`,
  );
  const empty = outcome === "NOERROR" && records.length === 0 ? "no such record" : "";
  const over = protocol === "tcp" ? " over TCP" : "";
  return [
    type,
    name,
    `${formatIp(server)}${over}`,
    `${outcome}${took}`,
    records.join(", ") || empty,
  ];
}

function conclusion(name: string, found: NameAnswer): string {
  if (found.problem !== undefined) return `unresolved: ${found.problem}`;
  if (found.answer !== undefined) {
    return `${name}: ${found.answer.answer.map(({ type, data }) => `${type} ${data}`).join(", ")}`;
  }
  if (found.unasked === "address") return `${name} is an address, so nobody is asked`;
  const where = found.unasked === "hosts" ? " (from /etc/hosts)" : "";
  return `${name} is ${found.addresses.map(formatIp).join(", ")}${where}`;
}

function json(pod: string, name: string, type: string | undefined, found: NameAnswer): unknown {
  const { nameservers, search, options } = parseResolvConf(found.resolvConf);
  return {
    pod,
    name,
    ...(type === undefined ? {} : { type }),
    resolvConf: { nameservers: nameservers.map(formatIp), search, options },
    ...lookupJson(found),
    ...(found.answer === undefined ? {} : { answer: found.answer }),
    resolved: found.problem === undefined,
    ...(found.problem === undefined ? {} : { reason: found.problem }),
  };
}
