import { script } from "../../src/index.ts";
import { type Counter, difference } from "./counters.ts";
import { Model } from "./model.ts";
import { leavesToChance, Outcomes, saidByMachines } from "./outcomes.ts";
import { requestOf } from "./real.ts";
import type { Flow, Step, Verdict } from "./topology.ts";

/** A flow that the model and the kernel treat differently, or a state that only one of them takes. */
export interface Disagreement {
  readonly flow: Flow | undefined;
  readonly model: string;
  readonly kernel: string;
}

/** A kernel that a case can be done to: this machine's (`Prober`) or a virtual machine's. */
export interface RealSide {
  /** Of its kernel, as `uname -r` tells it; where it is absent, this machine's. */
  readonly release?: string;
  /** What rules count of frames that are sent by hand; where it is absent, such cases are left out. */
  counters?(model: Model, prefix: string, gapMs: number, settleMs: number): Promise<Counter[]>;
  /** @throws Error where the tools refuse the state */
  verdicts(model: Model, prefix: string): Promise<Verdict[]>;
}

/** A flow that the kernel did not treat the same way each time: what it did, in order, and what the model says. */
export interface Unsteady {
  readonly flow: Flow | undefined;
  readonly model: string;
  readonly kernel: readonly string[];
}

export interface Comparison {
  readonly flows: number;
  readonly disagreements: readonly Disagreement[];
  /** Told apart from disagreements by {@link compare} alone. */
  readonly unsteady: readonly Unsteady[];
}

/** How often a flow that seems to disagree is looked at again. */
const LOOKS = 3;
/** Milliseconds that both sides wait for an answer then: a loaded machine may be late. */
const PATIENCE_MS = 9_000;

/**
 * Does the steps on both sides, and compares what becomes of each flow. Flows run at once in the kernel,
 * one can be in another's way, and the machine may be too busy to answer in time. A difference is therefore
 * looked at again with that flow alone and more patience; it counts if it is there each time. One that comes
 * and goes is `unsteady`.
 */
export async function compare(
  steps: readonly Step[],
  prober: RealSide,
  prefix: string,
): Promise<Comparison> {
  const together = await compareOnce(steps, prober, prefix);
  const disagreements: Disagreement[] = [];
  const unsteady: Unsteady[] = [];
  const again = together.disagreements.map((found, i) =>
    lookAgain(steps, found, prober, `${prefix}-${i}`),
  );
  for (const result of await Promise.all(again)) {
    if ("agreed" in result) unsteady.push(result.agreed);
    else disagreements.push(result);
  }
  return { flows: together.flows, disagreements, unsteady };
}

async function lookAgain(
  steps: readonly Step[],
  found: Disagreement,
  prober: RealSide,
  prefix: string,
): Promise<Disagreement | { readonly agreed: Unsteady }> {
  const { flow } = found;
  const alone =
    flow === undefined ? steps : steps.filter((s) => s.do !== "flow" || s.flow === flow);
  const kernel = [found.kernel];
  let last = found;
  for (let look = 0; look < LOOKS; look++) {
    const { disagreements } = await compareOnce(alone, prober, prefix, PATIENCE_MS);
    const [again] = disagreements;
    if (again === undefined) {
      return { agreed: { flow, model: last.model, kernel: [...kernel, "agreed"] } };
    }
    kernel.push(again.kernel);
    last = again;
  }
  return last;
}

/** What the model says where the tools refuse a state: then neither side has sent anything. */
const TAKES_STATE = "takes the state";

/** The same without a second look. */
export async function compareOnce(
  steps: readonly Step[],
  prober: RealSide,
  prefix: string,
  waitMs?: number,
): Promise<Comparison> {
  const model = new Model(steps, waitMs, 1, prober.release);
  if (model.frames.length > 0) return compareCounters(model, steps, prober, prefix);
  let real: Verdict[];
  try {
    real = await prober.verdicts(model, prefix);
  } catch (error) {
    const kernel = (error as Error).message;
    const disagreements = [{ flow: undefined, model: TAKES_STATE, kernel }];
    return { flows: 0, disagreements, unsteady: [] };
  }
  const outcomes = new Outcomes(steps, waitMs, prober.release, model.verdicts(), verdictText);
  const disagreements: Disagreement[] = [];
  for (const [i, flow] of model.flows.entries()) {
    const kernel = verdictText(real[i] as Verdict);
    if (!outcomes.has(i, kernel)) disagreements.push({ flow, model: outcomes.text(i), kernel });
  }
  return { flows: model.flows.length, disagreements, unsteady: [] };
}

/** Milliseconds between two frames, and after the last; more of it when a loaded machine may have been too slow. */
const PACES = [
  { gap: 10, settle: 200 },
  { gap: 60, settle: 500 },
  { gap: 250, settle: 500 },
];

/** What rules may have counted, where chance decides: that of one machine after the other. */
function possibleCounters(
  steps: readonly Step[],
  gapMs: number,
  settleMs: number,
  release: string | undefined,
): Iterable<Counter[]> {
  const ask = (seed: number): Counter[] =>
    new Model(steps, undefined, seed, release).counters(gapMs, settleMs);
  return steps.some(leavesToChance) ? saidByMachines(ask) : [ask(1)];
}

/** How the kernel's counters differ from the first possible ones; `undefined` where they equal any. */
function differenceFromAll(
  possible: Iterable<Counter[]>,
  kernel: readonly Counter[],
): ReturnType<typeof difference> {
  let first: ReturnType<typeof difference>;
  for (const model of possible) {
    const found = difference(model, kernel);
    if (found === undefined) return undefined;
    first ??= found;
  }
  return first;
}

/** Sends the frames of a case on both sides and compares what rules have counted. */
async function compareCounters(
  model: Model,
  steps: readonly Step[],
  prober: RealSide,
  prefix: string,
): Promise<Comparison> {
  const flows = model.frames.length;
  let found: { readonly model: string; readonly kernel: string } | undefined;
  for (const { gap, settle } of PACES) {
    let counted: Counter[] | undefined;
    try {
      counted = await prober.counters?.(model, prefix, gap, settle);
    } catch (error) {
      const kernel = (error as Error).message;
      const disagreements = [{ flow: undefined, model: TAKES_STATE, kernel }];
      return { flows: 0, disagreements, unsteady: [] };
    }
    if (counted === undefined) return { flows: 0, disagreements: [], unsteady: [] };
    found = differenceFromAll(possibleCounters(steps, gap, settle, prober.release), counted);
    if (found === undefined) return { flows, disagreements: [], unsteady: [] };
  }
  const disagreements = found === undefined ? [] : [{ flow: undefined, ...found }];
  return { flows, disagreements, unsteady: [] };
}

export function verdictText({ outcome, errno, from, seen, ttl }: Verdict): string {
  return [
    outcome,
    ...(errno === undefined ? [] : [errno]),
    ...(from === undefined ? [] : [`from ${from}`]),
    // What the server of a stalled connection saw depends on which of the two ways loses data.
    ...(seen === undefined || outcome === "stalled" ? [] : [`server saw ${seen}`]),
    ...(ttl === undefined || outcome === "stalled" ? [] : [`TTL ${ttl}`]),
  ].join(", ");
}

/** Cases that {@link shrink} tries at once. */
const LANES = 6;

/**
 * Takes away steps, many at first, as long as a disagreement is left.
 * @param disagrees tries a case; several at once, each on a lane of its own
 */
export async function shrink(
  steps: readonly Step[],
  disagrees: (steps: readonly Step[], lane: number) => Promise<boolean>,
  until: number = Number.POSITIVE_INFINITY,
): Promise<readonly Step[]> {
  let left = steps;
  for (let size = Math.ceil(steps.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let smaller = true; smaller; ) {
      smaller = false;
      for (let end = left.length; end > 0 && Date.now() < until; ) {
        const starts = Array.from({ length: LANES }, (_, i) => end - (i + 1) * size).filter(
          (start) => start > -size,
        );
        const superfluous = await Promise.all(
          starts.map((start, lane) => disagrees(without(left, [start], size), lane)),
        );
        const all = starts.filter((_, i) => superfluous[i]);
        end -= LANES * size;
        if (all.length === 0) continue;
        const together = without(left, all, size);
        const [first] = all as [number];
        const joint = all.length === 1 || (await disagrees(together, 0));
        left = joint ? together : without(left, [first], size);
        smaller = true;
      }
      if (size > 1) break;
    }
  }
  return left;
}

/** The steps but `size` ones from each start on. */
function without(steps: readonly Step[], starts: readonly number[], size: number): Step[] {
  return steps.filter((_, i) => !starts.some((start) => i >= start && i < start + size));
}

/** What kind of disagreement it is: both verdicts without the addresses and names in them. */
export function kindOf({ flow, model, kernel }: Disagreement): string {
  const bare = (text: string): string =>
    text.replaceAll(/\b(fd00:|10\.)[0-9a-f:.]+/g, "ADDRESS").replaceAll(/at [a-z0-9]+/g, "at N");
  if (flow === undefined && model !== TAKES_STATE) return "counters";
  return [flow?.protocol, bare(model), bare(kernel)].join("|");
}

/** A case for people: its steps and what each side says. */
export function report(steps: readonly Step[], disagreement: Disagreement): string {
  return [
    ...steps.map((step) => `  ${JSON.stringify(step)}`),
    `model:  ${disagreement.model}`,
    `kernel: ${disagreement.kernel}`,
  ].join("\n");
}

/**
 * A bash script that builds a case, sends its flows, and prints what the kernel made of them beside what
 * the model says; to be run as root in the repository's folder. It leaves nothing.
 */
export function scriptOf(steps: readonly Step[], prefix: string): string {
  const model = new Model(steps);
  const request = JSON.stringify({ id: 0, ...requestOf(model, prefix) });
  return [
    script(model.network, { prefix }).text,
    `echo 'kernel, by number of the flow:'`,
    `python3 packages/realize/test/fuzz/probe.py <<'END'\n${request}\nEND`,
    ...model.verdicts().map((v, i) => `echo 'model, flow ${i}: ${verdictText(v)}'`),
  ].join("\n");
}
