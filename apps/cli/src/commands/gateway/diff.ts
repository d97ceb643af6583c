import { InputError } from "@cnilab/core";
import {
  type DerivedRequest,
  deriveRequests,
  diffRules,
  fateText,
  MOST_DERIVED,
  type NotCompared,
  type RequestHead,
  type RuleDifference,
} from "@cnilab/gateway";
import { type Command, Option } from "commander";
import { warn } from "../../cluster-flags.ts";
import { type Doors, doorsOf, type GatewayDoor } from "../../gateway-doors.ts";
import { print, printJson } from "../../output.ts";
import type { ProgramIo } from "../../program-io.ts";
import { readSource } from "../../read-input.ts";
import { readRequestLines } from "../../request-lines.ts";
import { storedObjects } from "../../stored-objects.ts";
import { plural, wrap } from "../../text-layout.ts";
import { addDoorFlags, chosenGateway, type DoorFlags } from "./door-flags.ts";

interface DiffFlags extends DoorFlags {
  readonly with: readonly string[];
  readonly requests?: string;
  readonly accept: readonly string[];
  readonly output: "text" | "json";
}

/** Requests that are shown for one reason. */
const SHOWN = 5;

export function addDiffCommand(gateway: Command, io: ProgramIo): void {
  const command = gateway
    .command("diff")
    .description("do the same requests go the same way through Ingresses as through HTTPRoutes?")
    .addOption(
      new Option("--with <path>", "manifests to compare with; repeatable")
        .argParser((path: string, before: readonly string[]) => [...before, path])
        .default([], "what -f has"),
    )
    .option("--requests <file>", "further requests, one JSON object a line")
    .addOption(
      new Option("--accept <name>", "what is not compared and has been seen to; repeatable")
        .argParser((name: string, before: readonly string[]) => [...before, name])
        .default([], "nothing"),
    )
    .addOption(new Option("-o, --output <format>").choices(["text", "json"]).default("text"));
  addDoorFlags(command).action((flags) => diff(io, flags));
}

async function diff(io: ProgramIo, flags: DiffFlags): Promise<void> {
  if (flags.filename.length === 0) {
    throw new InputError(
      "name the Ingress with -f, and the routes with -f or --with",
      "gateway diff",
    );
  }
  const { objects, warnings } = await storedObjects(io, [...flags.filename, ...flags.with]);
  const doors = doorsOf(objects, flags);
  if (doors.ingress === undefined) {
    throw new InputError("the input has no Ingress that is looked at; give one with -f", "-f");
  }
  const door = chosenGateway(doors, flags);
  const given = flags.requests === undefined ? [] : await givenRequests(io, flags.requests);
  const more = derived(doors.ingress.ingresses, door);
  const requests = [...given, ...more];
  warn(io, [...warnings, ...doors.warnings]);
  const comparison = diffRules(doors.ingress, door.rules, requests);
  const { differences } = comparison;
  const all = [...comparison.notCompared, ...(more.length < MOST_DERIVED ? [] : [CUT])];
  const unknown = flags.accept.filter((name) => !all.some(({ what }) => what === name));
  warn(
    io,
    unknown.map((name) => `--accept ${name}: nothing of this name is left uncompared`),
  );
  const open = all.filter(({ what }) => !flags.accept.includes(what));
  if (flags.output === "json") {
    const notCompared = all.map((each) => ({ ...each, accepted: !open.includes(each) }));
    printJson(io, { requests: requests.length, differences, notCompared });
  } else print(io, [text(differences, open, requests.length), ...leftOpen(open)].join("\n"));
  // A comparison that leaves something open is no "yes".
  if (differences.length > 0 || open.length > 0) io.exitCode = 1;
}

const CUT: NotCompared = {
  what: "requests",
  object: "the input",
  field: `requests after the first ${MOST_DERIVED}`,
  why: "no more are derived at once; compare fewer hosts",
};

/** One line for each thing and reason, with the objects that have it. */
function leftOpen(notCompared: readonly NotCompared[]): string[] {
  const objects = new Map<string, string[]>();
  for (const { what, object, field, why } of notCompared) {
    const place = field.includes("/") || what === "requests" ? field : `${object} ${field}`;
    const key = `not compared: ${place}: ${why}`;
    const by = place === field && what !== "requests" ? [object] : [];
    objects.set(key, [...(objects.get(key) ?? []), ...by]);
  }
  const lines = [...objects].map(([line, by]) => {
    const [first, ...others] = by;
    if (first === undefined) return line;
    return `${line} (${first}${others.length > 0 ? ` and ${plural(others.length, "other")}` : ""})`;
  });
  if (lines.length === 0) return [];
  return ["", ...lines, "Each --accept NAME says that you have seen to one of these."];
}

async function givenRequests(io: ProgramIo, file: string): Promise<DerivedRequest[]> {
  const lines = readRequestLines(await readSource(io, file));
  return lines.map(({ request }) => ({ request, aspect: "given" }));
}

function derived(
  ingresses: NonNullable<Doors["ingress"]>["ingresses"],
  { gateway, routes }: GatewayDoor,
): readonly DerivedRequest[] {
  const { listeners } = gateway.spec;
  const https = listeners.filter(({ protocol }) => protocol === "HTTPS");
  return deriveRequests({
    ingresses,
    routes,
    hostnames: listeners.flatMap(({ hostname }) => hostname ?? []),
    tlsHosts: [
      ...ingresses.flatMap(({ spec }) => (spec.tls ?? []).flatMap(({ hosts = [] }) => hosts)),
      ...https.flatMap(({ hostname }) => hostname ?? []),
    ],
  });
}

function text(
  found: readonly RuleDifference[],
  open: readonly NotCompared[],
  asked: number,
): string {
  if (found.length === 0) {
    const so = open.length === 0 ? "" : ", as far as they can be compared";
    return `${plural(asked, "request")}: all go the same way through the Ingress and the routes${so}.`;
  }
  const byReason = new Map<string, RuleDifference[]>();
  for (const difference of found) {
    const list = byReason.get(difference.why);
    if (list === undefined) byReason.set(difference.why, [difference]);
    else list.push(difference);
  }
  const lines = [`${found.length} of ${plural(asked, "request")} go another way.`];
  for (const [why, differences] of byReason) {
    const rows = differences
      .slice(0, SHOWN)
      .map(({ request, ingress, routes }) => [
        requestText(request),
        fateText(ingress),
        fateText(routes),
      ]);
    const more = differences.length - SHOWN;
    lines.push(
      "",
      ...wrap(`${why}:`, ""),
      ...table([["REQUEST", "INGRESS", "ROUTES"], ...rows]),
      ...(more > 0 ? [`  and ${plural(more, "more request")} (-o json has all)`] : []),
    );
  }
  return lines.join("\n");
}

/** Nothing is cut off: a request that one cannot read in full is of no use. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = [0, 1].map((i) => Math.max(...rows.map((row) => (row[i] ?? "").length)));
  return rows.map((row) =>
    `  ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join("   ")}`.trimEnd(),
  );
}

function requestText({ method, scheme, host, path, headers = {} }: RequestHead): string {
  const given = Object.entries(headers).map(([name, value]) => ` ${name}: ${value}`);
  return `${method} ${scheme}://${host}${path}${given.join("")}`;
}
