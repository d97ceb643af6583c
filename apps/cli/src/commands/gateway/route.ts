import { InputError, SeededRandom } from "@cnilab/core";
import {
  chooseBackend,
  fixtureRules,
  outcomeOf,
  type ProxyRules,
  type RouteBackend,
  type RouteDecision,
  type RuleSource,
} from "@cnilab/gateway";
import { type Command, InvalidArgumentError, Option } from "commander";
import { warn } from "../../cluster-flags.ts";
import { doorsOf } from "../../gateway-doors.ts";
import { print } from "../../output.ts";
import type { ProgramIo } from "../../program-io.ts";
import { readSource } from "../../read-input.ts";
import { type RequestLine, readRequestLines } from "../../request-lines.ts";
import { storedObjects } from "../../stored-objects.ts";
import { addDoorFlags, chosenGateway, type DoorFlags } from "./door-flags.ts";

interface RouteFlags extends DoorFlags {
  readonly fixtures?: string;
  readonly requests: string;
  readonly seed: number;
}

export function addRouteCommand(gateway: Command, io: ProgramIo): void {
  const command = gateway
    .command("route")
    .description("which backend each request goes to: one JSON object a line in, one out")
    .requiredOption("--requests <file>", "one JSON object with a request a line; - for stdin")
    .option("--fixtures <file>", "rule sets by name in JSON, which lines name as fixture")
    .addOption(
      new Option("--seed <number>", "for the choice among weighted backends")
        .argParser(readSeed)
        .default(1),
    );
  addDoorFlags(command).action((flags) => route(io, flags));
}

async function route(io: ProgramIo, flags: RouteFlags): Promise<void> {
  if ((flags.fixtures === undefined) === (flags.filename.length === 0)) {
    throw new InputError("give either --fixtures, or manifests with -f", "gateway route");
  }
  if (flags.requests === "-" && flags.filename.includes("-")) {
    throw new InputError("standard input cannot hold both manifests and requests", "--requests -");
  }
  const random = new SeededRandom(flags.seed);
  const choose = (backends: readonly RouteBackend[]): RouteBackend =>
    chooseBackend(backends, random);
  const lines = readRequestLines(await readSource(io, flags.requests));
  if (flags.fixtures !== undefined) {
    const rules = await fixtureLookup(io, flags.fixtures);
    // Every line is understood before the first is answered.
    const asked = lines.map((each) => ({ ...each, rules: rules(each) }));
    const answers = asked.map(({ line, request, rules: found }) => {
      const { backend, status } = outcomeOf(found.routeRequest(request), choose);
      // An earlier answer in the line would contradict this one.
      const { backend: _, status: __, ...asGiven } = line;
      const added = { ...(backend && { backend }), ...(status && { status }) };
      return `${JSON.stringify({ ...asGiven, ...added })}\n`;
    });
    print(io, answers.join(""));
    return;
  }
  const rules = await rulesOfManifests(io, flags);
  const answers = lines.map(({ line, request }) => {
    const decision = rules.routeRequest(request);
    const own = Object.entries(line).filter(([field]) => !ANSWER_FIELDS.has(field));
    const asGiven = Object.fromEntries(own);
    return `${JSON.stringify({ ...asGiven, ...answerOf(decision, choose) })}\n`;
  });
  print(io, answers.join(""));
}

async function fixtureLookup(
  io: ProgramIo,
  file: string,
): Promise<(line: RequestLine) => ProxyRules> {
  const { name, text } = await readSource(io, file);
  let fixtures: unknown;
  try {
    fixtures = JSON.parse(text);
  } catch {
    throw new InputError("is not JSON; it should be an object of rule sets by name", name);
  }
  if (fixtures === null || typeof fixtures !== "object" || Array.isArray(fixtures)) {
    throw new InputError("must be an object of rule sets by name", name);
  }
  const compiled = new Map(
    Object.entries(fixtures).map(([key, fixture]) => [
      key,
      fixtureRules(key, fixture, `${name}: fixture ${key}`),
    ]),
  );
  return ({ line, where }) => {
    const { fixture } = line;
    const found = compiled.get(String(fixture));
    if (found !== undefined) return found;
    const known = [...compiled.keys()].slice(0, 8).join(", ");
    throw new InputError(
      `there is no fixture ${JSON.stringify(fixture)}; there are ${known}`,
      where,
    );
  };
}

async function rulesOfManifests(io: ProgramIo, flags: RouteFlags): Promise<ProxyRules> {
  const { objects, warnings } = await storedObjects(io, flags.filename);
  const doors = doorsOf(objects, flags);
  warn(io, [...warnings, ...doors.warnings]);
  const { ingress } = doors;
  if (ingress !== undefined && flags.gateway === undefined) {
    if (doors.gateways.size === 0) return ingress.rules;
    throw new InputError(
      "the input has Ingresses and Gateways; name one with --gateway, or leave the others out",
      "-f",
    );
  }
  return chosenGateway(doors, flags).rules;
}

/** Fields of answers: those that a line brings are of an earlier one. */
const ANSWER_FIELDS: ReadonlySet<string> = new Set([
  "backend",
  "status",
  "location",
  "path",
  "host",
  "rule",
  "why",
]);

/** The backend with its namespace and port, and the rule that decided. */
function answerOf(
  decision: RouteDecision,
  choose: (backends: readonly RouteBackend[]) => RouteBackend,
): Record<string, unknown> {
  const { why } = decision;
  switch (decision.action) {
    case "answer":
      return { status: decision.status, ...ruleOf(decision.rule), why };
    case "redirect":
      return {
        status: decision.status,
        location: decision.location,
        ...ruleOf(decision.rule),
        why,
      };
    case "forward": {
      const chosen = choose(decision.backends);
      const { namespace, name, port, error, redirect, by = decision } = chosen;
      const rule = ruleOf(by.rule);
      if (redirect !== undefined) return { ...redirect, ...rule, why: by.why };
      if (error !== undefined) return { status: error.status, ...rule, why: error.why };
      const { path, host } = { ...decision, ...definedOf(chosen) };
      return { backend: `${namespace}/${name}:${port}`, path, host, ...rule, why: by.why };
    }
  }
}

function ruleOf(rule: RuleSource | undefined): { readonly rule?: string } {
  if (rule === undefined) return {};
  return { rule: `${rule.kind} ${rule.namespace}/${rule.name} ${rule.field}` };
}

/** What a backend's own filters make of host and path. */
function definedOf({ path, host }: RouteBackend): Pick<RouteBackend, "path" | "host"> {
  return { ...(path !== undefined && { path }), ...(host !== undefined && { host }) };
}

function readSeed(text: string): number {
  if (/^[0-9]{1,9}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be a whole number.");
}
