import type { Connection } from "@cnilab/cluster";
import { InputError } from "@cnilab/core";
import { type Command, Option } from "commander";
import { warn } from "../cluster-flags.ts";
import { print, printJson } from "../output.ts";
import { policyReader } from "../policy-reader.ts";
import type { ProgramIo } from "../program-io.ts";
import { readSource } from "../read-input.ts";
import { staticAnswers } from "../static-answer.ts";
import { addTargetFlags, readTarget, type Target, type TargetFlags } from "../target.ts";
import { answeredBy, verdictText } from "../verdict-output.ts";
import { addWalkFlags, type Walkable, type WalkFlags, walkable } from "../walkable.ts";
import { isUrl } from "./curl.ts";

interface ProbeFlags extends WalkFlags, TargetFlags {
  readonly probes?: string;
  readonly static?: boolean;
  readonly output: "text" | "json";
}

/** One line of a batch: fields of the user's own come back untouched. */
interface ProbeLine {
  readonly src: string;
  readonly dst: string;
  readonly port?: number | string;
  readonly protocol?: string;
  readonly [field: string]: unknown;
}

export function addProbeCommand(program: Command, io: ProgramIo): void {
  const command = program
    .command("probe")
    .description("the verdict only: does SRC reach DST?")
    .argument("[src]", "who asks")
    .argument("[dst[:port]]", "whom")
    .option("--probes <file>", "many at once: one JSON object a line; - for standard input")
    .option("--static", "by the policies alone, without sending packets")
    .addOption(
      new Option("-o, --output <format>", "for a single probe")
        .choices(["text", "json"])
        .default("text"),
    );
  addTargetFlags(addWalkFlags(command)).action((src, dst, flags) => probe(io, src, dst, flags));
}

async function probe(
  io: ProgramIo,
  src: string | undefined,
  dst: string | undefined,
  flags: ProbeFlags,
): Promise<void> {
  if (flags.probes !== undefined) {
    if (src !== undefined) {
      throw new InputError("give either SRC and DST, or --probes with a file, not both", "probe");
    }
    await probeBatch(io, flags.probes, flags);
    return;
  }
  if (src === undefined || dst === undefined) {
    throw new InputError(
      "name SRC and DST, as in: cnilab probe shop/deploy/cart cache.shop-data:6379",
      "probe",
    );
  }
  if (isUrl(dst)) {
    throw new InputError(`is a URL: ask with cnilab curl ${src} ${dst}`, `"${dst}"`);
  }
  const { cluster, warnings } = await walkable(io, flags);
  const connection = (await prober(io, cluster, flags))(readTarget(cluster, src, dst, flags));
  warn(io, [...warnings, ...cluster.warnings]);
  if (flags.output === "json") printJson(io, { src, dst, ...answer(connection) });
  else print(io, verdictText(connection));
  if (connection.verdict !== "allowed") io.exitCode = 1;
}

async function probeBatch(io: ProgramIo, file: string, flags: ProbeFlags): Promise<void> {
  if (file === "-" && flags.filename.includes("-")) {
    throw new InputError("standard input cannot hold both manifests and probes", "--probes -");
  }
  const { name, text } = await readSource(io, file);
  const lines = readLines(text, name);
  const { cluster, warnings } = await walkable(io, flags);
  // Every line is understood before the first is answered.
  const probes = lines.map(({ probe, where }) => ({
    probe,
    target: find(cluster, probe, where, flags),
  }));
  warn(io, [...warnings, ...cluster.warnings]);
  let everyAllowed = true;
  const ask = await prober(io, cluster, flags);
  for (const { probe, target } of probes) {
    const connection = ask(target);
    if (connection.verdict !== "allowed") everyAllowed = false;
    print(io, JSON.stringify({ ...probe, ...answer(connection) }));
  }
  if (!everyAllowed) io.exitCode = 1;
}

function readLines(
  text: string,
  name: string,
): { readonly probe: ProbeLine; readonly where: string }[] {
  const probes: { readonly probe: ProbeLine; readonly where: string }[] = [];
  text.split("\n").forEach((line, i) => {
    const where = `${name}:${i + 1}`;
    if (line.trim() !== "") probes.push({ probe: readLine(line, where), where });
  });
  return probes;
}

function readLine(line: string, where: string): ProbeLine {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new InputError("is not JSON; write one object a line", where);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new InputError('must be an object, as {"src":"ns/a","dst":"ns/b","port":80}', where);
  }
  const { src, dst, port, protocol } = value as Record<string, unknown>;
  for (const [field, end] of Object.entries({ src, dst })) {
    if (typeof end !== "string" || end === "") {
      throw new InputError(`${field} must name an endpoint, as "ns/pod"`, where);
    }
  }
  const isNumber =
    typeof port === "number" && Number.isInteger(port) && port >= 1 && port <= 65_535;
  if (port !== undefined && !isNumber && typeof port !== "string") {
    throw new InputError("port must be a number from 1 to 65535 or the name of a port", where);
  }
  const known = ["TCP", "UDP", "SCTP", "ICMP"];
  if (protocol !== undefined && !known.includes(String(protocol).toUpperCase())) {
    throw new InputError(`protocol must be ${known.join(", ")}`, where);
  }
  return value as ProbeLine;
}

function find(cluster: Walkable, probe: ProbeLine, where: string, flags: ProbeFlags): Target {
  try {
    const { src, dst, port } = probe;
    const protocol = (probe.protocol?.toLowerCase() ?? flags.protocol) as TargetFlags["protocol"];
    const target = readTarget(cluster, src, dst, { ...flags, protocol }, port);
    cluster.check(target);
    return target;
  } catch (error) {
    if (error instanceof InputError) throw new InputError(error.message, where);
    throw error;
  }
}

type Answer = Pick<Connection, "egress" | "ingress" | "reason" | "backend" | "seenAs"> & {
  readonly verdict: string;
};

/** Answers one after the other, each on fresh connection tracking. */
async function prober(
  io: ProgramIo,
  cluster: Walkable,
  flags: ProbeFlags,
): Promise<(target: Target) => Answer> {
  if (flags.static === true) {
    const { ask, warnings } = staticAnswers(cluster, (await policyReader(io, flags)).reader);
    warn(io, warnings);
    return ask;
  }
  return (target) => {
    cluster.forgetConnections();
    return cluster.connect(target);
  };
}

function answer(connection: Answer): Record<string, unknown> {
  const { verdict, egress, ingress, reason } = connection;
  return { verdict, egress, ingress, reason, ...answeredBy(connection) };
}
