import {
  type CheckedIntent,
  checkCalls,
  type DanglingCall,
  type Finding,
  findings,
  type IngressConnection,
  inferIntent,
  ingressConnections,
  policyName,
  ruleName,
  type SideVerdict,
  selectedWorkloads,
  type UnusedPaths,
  unusedPaths,
  workloadName,
} from "@cnilab/network-policy";
import { type Command, Option } from "commander";
import { warn } from "../../cluster-flags.ts";
import { print, printJson } from "../../output.ts";
import { policyReader, policyWarnings } from "../../policy-reader.ts";
import type { ProgramIo } from "../../program-io.ts";
import { junit, type ReportCase, sarif } from "../../report-formats.ts";
import { addPolicyFlags, type PolicyFlags, readInput } from "./input.ts";

interface CheckFlags extends PolicyFlags {
  readonly output: "text" | "json" | "sarif" | "junit";
}

export function addCheckCommand(policy: Command, io: ProgramIo): void {
  const command = policy
    .command("check")
    .description(
      "whether policies let through what the manifests say the application calls, and what looks wrong in them",
    )
    .addOption(
      new Option("-o, --output <format>")
        .choices(["text", "json", "sarif", "junit"])
        .default("text"),
    );
  addPolicyFlags(command).action((flags) => check(io, flags));
}

async function check(io: ProgramIo, flags: CheckFlags): Promise<void> {
  const objects = await readInput(io, flags);
  const { reader, warnings } = await policyReader(io, flags);
  const intent = inferIntent(objects, reader);
  const view = reader.read(objects);
  warn(io, [...warnings, ...(await policyWarnings(objects, reader, view))]);
  const closed = selectedWorkloads(intent.workloads, view.policies, "ingress");
  const cases = [
    ...callCases(checkCalls(intent, view)),
    ...ingressConnections(objects, view, intent.workloads).map(ingressCase),
    ...intent.dangling.map(danglingCase),
    ...findings(objects, reader).map(findingCase),
    ...unusedPaths(objects, intent, (name) => closed.has(name), reader).map(unusedCase),
  ];
  const failed = cases.filter(({ level }) => level === "error").length;
  switch (flags.output) {
    case "text":
      print(io, text(cases));
      break;
    case "json":
      printJson(io, cases);
      break;
    case "sarif":
      printJson(io, sarif(cases));
      break;
    case "junit":
      print(io, junit("policy check", cases));
      break;
  }
  if (failed > 0) io.exitCode = 1;
}

function callCases({ calls, lookups }: CheckedIntent): readonly ReportCase[] {
  const callCases = calls.map(({ call, backends, works }): ReportCase => {
    const { namespace = "default", name } = call.service.metadata;
    const what = `${workloadName(call.from)} calls ${namespace}/${name}:${call.port.port}`;
    if (works)
      return {
        rule: "blocked-call",
        level: "pass",
        subject: what,
        message: `allowed (${call.said})`,
      };
    const lost = backends.find(({ verdict }) => !verdict.allowed);
    if (lost === undefined) {
      return {
        rule: "no-backend",
        level: "warning",
        subject: what,
        message: `no pod stands behind that Service (${call.said})`,
      };
    }
    const { egress, ingress } = lost.verdict;
    const why = egress.allowed
      ? `the ingress of ${workloadName(lost.workload)}: ${denial(ingress)}`
      : `its own egress: ${denial(egress)}`;
    return {
      rule: "blocked-call",
      level: "error",
      subject: what,
      message: `blocked by ${why} (${call.said})`,
    };
  });
  const lookupCases = lookups.map(({ workload, verdict }): ReportCase => {
    const subject = `${workloadName(workload)} asks the cluster's DNS`;
    return verdict.egress.allowed
      ? { rule: "blocked-dns", level: "pass", subject, message: "allowed" }
      : {
          rule: "blocked-dns",
          level: "error",
          subject,
          message: `blocked by its own egress: ${denial(verdict.egress)}`,
        };
  });
  return [...callCases, ...lookupCases];
}

function denial({ steps }: SideVerdict): string {
  const step = steps.at(-1);
  if (step?.rule !== undefined) return ruleName(step.rule);
  return `no rule of ${step?.told.map(policyName).join(", ") ?? "any policy"} lets it through`;
}

function ingressCase({ destination, port, admitted }: IngressConnection): ReportCase {
  const subject = `an ingress controller opens ${workloadName(destination)}:${port}`;
  return admitted
    ? { rule: "blocked-ingress", level: "pass", subject, message: "allowed" }
    : {
        rule: "blocked-ingress",
        level: "error",
        subject,
        message:
          "blocked by the workload's ingress policies, for a controller that none of them names",
      };
}

function danglingCase({ from, target, said }: DanglingCall): ReportCase {
  return {
    rule: "no-such-service",
    level: "warning",
    subject: `${workloadName(from)} calls ${target}`,
    message: `there is no such Service or port in the input (${said})`,
  };
}

function findingCase({ kind, level, object, path, message }: Finding): ReportCase {
  const subject = path === undefined ? object : `${object}: ${path}`;
  return { rule: kind, level, subject, message };
}

function unusedCase({ destination, sources }: UnusedPaths): ReportCase {
  const shown = sources.slice(0, 3).map(({ source, ports }) => `${source} (${ports})`);
  const more = sources.length > 3 ? ` and ${sources.length - 3} more` : "";
  return {
    rule: "unused-path",
    level: "note",
    subject: destination,
    message: `is open to ${shown.join(", ")}${more}, which by their manifests do not call it`,
  };
}

function text(cases: readonly ReportCase[]): string {
  const of = (...levels: readonly ReportCase["level"][]) =>
    cases.filter(({ level }) => levels.includes(level));
  const passed = of("pass").length;
  const asked = passed + of("error").length;
  const lines = [...of("error"), ...of("warning"), ...of("note")].map(
    ({ level, subject, message }) => `${level}: ${subject}: ${message}`,
  );
  return [...lines, `${passed} of ${asked} inferred calls and DNS questions are allowed`].join(
    "\n",
  );
}
