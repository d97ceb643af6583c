import { InputError, type KubeObject } from "@cnilab/core";
import { FieldError } from "@cnilab/core/validation";
import type { NetNamespace } from "@cnilab/linux";
import { type NpcEvent, readNpcEvents, StandAloneNpc } from "@cnilab/weave";
import { parse } from "yaml";
import type { ProgramIo } from "./program-io.ts";
import { readSource } from "./read-input.ts";
import { type RenderFlags, readObjects } from "./render-input.ts";
import { renderMachine } from "./render-machine.ts";

/** What stands after an event, as the golden vectors have it. */
interface NpcState {
  readonly error?: string;
  readonly iptables: readonly string[];
  readonly ipset: readonly string[];
}

/** By `-o`; {@link states} prints every step. */
const OUTPUTS: Readonly<Record<string, (netns: NetNamespace) => string>> = {
  iptables: (netns) => ["filter", "nat"].map((table) => netns.iptables(4).save(table)).join(""),
  ipset: (netns) => netns.ipsets.save(),
};

/** Either all objects that there are, or what the API tells one after the other. */
type Input = { readonly objects: readonly KubeObject[] } | { readonly events: readonly NpcEvent[] };

/** What weave-npc alone programs, and the bridge's rules that lead to it, as the real tools print them. @throws InputError */
export async function renderWeaveNpc(io: ProgramIo, flags: RenderFlags): Promise<string> {
  const print = OUTPUTS[flags.output];
  if (print === undefined && flags.output !== "json") {
    const known = [...Object.keys(OUTPUTS), "json"].join(", ");
    throw new InputError(`weave-npc has no output "${flags.output}"; it has ${known}`, "-o");
  }
  if (flags.config !== undefined) {
    throw new InputError("weave-npc has no settings here; leave it out", "--config");
  }
  const inputs = [await readInput(io, flags.filename)];
  for (const path of flags.then) inputs.push(await readInput(io, [path]));
  const objects = inputs.flatMap((input) => ("objects" in input ? input.objects : []));
  const { initNs } = renderMachine(flags.node, objects);
  const agent = new StandAloneNpc(initNs);
  const base = stateOf(initNs);
  const afterEvent: NpcState[] = [];
  const warn = (what: string) => io.stderr.write(`cnilab: warning: weave-npc logs: ${what}\n`);
  for (const input of inputs) {
    if ("objects" in input) {
      for (const [object, problem] of agent.apply(input.objects)) warn(`${object}: ${problem}`);
      afterEvent.push(stateOf(initNs));
    } else {
      for (const event of input.events) {
        const error = agent.handle(event);
        if (error !== undefined) warn(error);
        afterEvent.push({ ...(error !== undefined && { error }), ...stateOf(initNs) });
      }
    }
  }
  return print === undefined
    ? `${JSON.stringify({ base, afterEvent }, undefined, 1)}\n`
    : print(initNs);
}

/** Manifests, or a single file with `events` as the golden vectors have it. */
async function readInput(io: ProgramIo, paths: readonly string[]): Promise<Input> {
  const [path] = paths;
  if (path === undefined || paths.length > 1 || !/\.(json|ya?ml)$/i.test(path)) {
    return { objects: await readObjects(io, paths) };
  }
  const given = eventsIn((await readSource(io, path)).text);
  if (given === undefined) return { objects: await readObjects(io, paths) };
  try {
    return { events: readNpcEvents(given) };
  } catch (error) {
    if (!(error instanceof FieldError)) throw error;
    throw new InputError(error.message, path);
  }
}

/** What is no list of events is for the reader of manifests, which also tells what is wrong with it. */
function eventsIn(text: string): object | undefined {
  if (!/^[\s{]*"?events"?\s*:/m.test(text)) return undefined;
  try {
    const value: unknown = text.trimStart().startsWith("{") ? JSON.parse(text) : parse(text);
    if (typeof value !== "object" || value === null || "kind" in value) return undefined;
    return "events" in value ? value : undefined;
  } catch {
    return undefined;
  }
}

function stateOf(netns: NetNamespace): NpcState {
  const lines = (output: "iptables" | "ipset") =>
    (OUTPUTS[output]?.(netns) ?? "").split("\n").filter((line) => line !== "");
  return { iptables: lines("iptables"), ipset: lines("ipset") };
}
