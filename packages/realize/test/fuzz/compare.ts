import { script } from "../../src/index.ts";
import { Model } from "./model.ts";
import type { Flow, Step, Verdict } from "./topology.ts";

/** A flow that the model and the kernel treat differently, or a state that only one of them takes. */
export interface Disagreement {
  readonly flow: Flow | undefined;
  readonly model: string;
  readonly kernel: string;
}

/** A kernel that a case can be done to: this machine's (`Prober`) or a virtual machine's. */
export interface RealSide {
  /** @throws Error where the tools refuse the state */
  verdicts(model: Model, prefix: string): Promise<Verdict[]>;
}

export interface Comparison {
  readonly flows: number;
  readonly disagreements: readonly Disagreement[];
}

/**
 * Does the steps on both sides, and compares what becomes of each flow. Flows run at once in the kernel,
 * and one can be in another's way (error messages are limited per source, for one): a disagreement
 * counts if the flow shows it alone.
 */
export async function compare(
  steps: readonly Step[],
  prober: RealSide,
  prefix: string,
): Promise<Comparison> {
  const together = await compareOnce(steps, prober, prefix);
  const disagreements: Disagreement[] = [];
  for (const found of together.disagreements) {
    const alone = steps.filter((step) => step.do !== "flow" || step.flow === found.flow);
    const again = found.flow === undefined ? together : await compareOnce(alone, prober, prefix);
    disagreements.push(...again.disagreements.slice(0, 1));
  }
  return { flows: together.flows, disagreements };
}

/** The same without a second look. */
export async function compareOnce(
  steps: readonly Step[],
  prober: RealSide,
  prefix: string,
): Promise<Comparison> {
  const model = new Model(steps);
  let real: Verdict[];
  try {
    real = await prober.verdicts(model, prefix);
  } catch (error) {
    const kernel = (error as Error).message;
    return { flows: 0, disagreements: [{ flow: undefined, model: "takes the state", kernel }] };
  }
  const modelled = model.verdicts();
  const disagreements: Disagreement[] = [];
  for (const [i, flow] of model.flows.entries()) {
    const [x, y] = [verdictText(modelled[i] as Verdict), verdictText(real[i] as Verdict)];
    if (x !== y) disagreements.push({ flow, model: x, kernel: y });
  }
  return { flows: model.flows.length, disagreements };
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

/** Takes away steps, many at first, as long as a disagreement is left. */
export async function shrink(
  steps: readonly Step[],
  disagrees: (steps: readonly Step[]) => Promise<boolean>,
): Promise<readonly Step[]> {
  let left = steps;
  for (let size = Math.ceil(steps.length / 2); size >= 1; ) {
    let smaller = false;
    for (let at = 0; at < left.length; ) {
      const tried = [...left.slice(0, at), ...left.slice(at + size)];
      if (tried.some((s) => s.do === "flow") && (await disagrees(tried))) {
        left = tried;
        smaller = true;
      } else at += size;
    }
    if (!smaller || size > 1) {
      if (size === 1) break;
      size = Math.floor(size / 2);
    }
  }
  return left;
}

/** What kind of disagreement it is: both verdicts without the addresses and names in them. */
export function kindOf({ flow, model, kernel }: Disagreement): string {
  const bare = (text: string): string =>
    text.replaceAll(/\b(fd00:|10\.)[0-9a-f:.]+/g, "ADDRESS").replaceAll(/at [a-z0-9]+/g, "at N");
  return [flow?.protocol, bare(model), bare(kernel)].join("|");
}

/** A case for people: its steps, what each side says, and the commands that build it. */
export function report(steps: readonly Step[], disagreement: Disagreement): string {
  return [
    ...steps.map((step) => `  ${JSON.stringify(step)}`),
    `model:  ${disagreement.model}`,
    `kernel: ${disagreement.kernel}`,
  ].join("\n");
}

export function scriptOf(steps: readonly Step[], prefix: string): string {
  return script(new Model(steps).network, { prefix }).text;
}
