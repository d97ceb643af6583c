import type { Cluster } from "@cnilab/cluster";
import { checkKernel, type Script, script, up } from "@cnilab/realize";
import { expect } from "vitest";
import {
  heard,
  type Modelled,
  modelled,
  type Source,
  sourcesOf,
  type Target,
  targetsOf,
} from "./probes.ts";
import { askForReal, type RealAnswer, type RealProbe, realName } from "./real-sockets.ts";
import { askInSecondKernel } from "./second-kernel.ts";

/** How often each asks who has several backends: kube-proxy chooses at random. */
const TIMES = 3;
/** A loaded machine may answer too late; what differs is asked again so often. */
const LOOKS = 3;
/** A machine of its own has nothing else to do. */
const LOOKS_IN_MACHINE = 1;

/** One asks another, which may end in several ways. */
interface Probe extends Modelled {
  readonly source: Source;
  readonly target: Target;
}

/**
 * Makes a cluster real, with a program behind every socket, and has everybody ask everybody: what each hears has to be
 * what the model says.
 * @param answered probes that have to be answered at least, so that silence alone proves nothing
 * @param more commands for what is real in another way than the model has it
 */
export async function expectAgreement(
  cluster: Cluster,
  prefix: string,
  answered: number,
  more: (made: Script) => string = () => "",
): Promise<void> {
  const made = script(cluster.network, { prefix });
  checkKernel(made);
  const realized = await up({ ...made, text: made.text + more(made) });
  try {
    const probes = probesOf(cluster, sourcesOf(cluster));
    const ask: Ask = (asked) => askForReal(cluster.network, prefix, asked);
    judge(probes, await compare(probes, prefix, ask, LOOKS), answered);
  } finally {
    await realized.remove();
  }
}

/** The same in a virtual machine with Debian's kernel, where every ninth asks: it computes some 27 times slower. */
export async function expectAgreementInSecondKernel(
  cluster: Cluster,
  prefix: string,
  answered: number,
): Promise<void> {
  const sources = sourcesOf(cluster).filter((_, i) => i % 9 === 0);
  const probes = probesOf(cluster, sources);
  // Behind the probes of the model: flows of a datapath come with traffic.
  const made = script(cluster.network, { prefix });
  const ask: Ask = (asked) => askInSecondKernel(cluster.network, made, asked);
  judge(probes, await compare(probes, prefix, ask, LOOKS_IN_MACHINE), answered);
}

function judge(probes: readonly Probe[], found: Comparison, answered: number): void {
  expect(found.differences).toEqual([]);
  expect(neverMet(probes, found.outcomes)).toEqual([]);
  expect(probes.filter(isAnswered).length).toBeGreaterThan(answered);
}

/** All pairs, each as often as it has outcomes to show. */
function probesOf(cluster: Cluster, sources: readonly Source[]): Probe[] {
  const targets = targetsOf(cluster);
  return sources.flatMap((source) =>
    targets.flatMap((target) => {
      const probe = { source, target, ...modelled(cluster, source, target) };
      return target.backends > 1 ? Array<Probe>(TIMES).fill(probe) : [probe];
    }),
  );
}

function isAnswered({ possible }: Probe): boolean {
  return [...possible].some((outcome) => outcome.startsWith("answered"));
}

interface Comparison {
  /** All that came of asking each target. */
  readonly outcomes: ReadonlyMap<Target, ReadonlySet<string>>;
  readonly differences: readonly string[];
}

/** Sends probes for real. */
type Ask = (probes: readonly RealProbe[]) => Promise<readonly RealAnswer[]>;

async function compare(
  probes: readonly Probe[],
  prefix: string,
  ask: Ask,
  looks: number,
): Promise<Comparison> {
  const outcomes = new Map(probes.map(({ target }) => [target, new Set<string>()]));
  let open = probes;
  let differences: string[] = [];
  for (let look = 0; look < looks && open.length > 0; look++) {
    const answers = await ask(
      open.map(({ source, target, teaches }) => ({
        ...target,
        netns: realName(prefix, source.netns),
        alone: teaches,
      })),
    );
    const found = open.map((probe, i) => ({ probe, outcome: heard(answers[i] as RealAnswer) }));
    for (const { probe, outcome } of found) outcomes.get(probe.target)?.add(outcome);
    const wrong = found.filter(({ probe, outcome }) => !probe.possible.has(outcome));
    open = wrong.map(({ probe }) => probe);
    differences = wrong.map(({ probe: { source, target, possible }, outcome }) => {
      const expected = [...possible].join(" or ");
      return `${source.name} asks ${target.name}: ${outcome}, not ${expected}`;
    });
  }
  return { outcomes, differences };
}

/** Who may answer, as the model has it, and never did, though it is one in a million that all others were chosen. */
function neverMet(probes: readonly Probe[], outcomes: Comparison["outcomes"]): string[] {
  const targets = new Set(probes.map(({ target }) => target));
  return [...targets].flatMap((target) => {
    // How likely it is that all who ask are answered by others.
    const unmet = new Map<string, number>();
    for (const { possible } of probes.filter((p) => p.target === target)) {
      const all = new Set([...possible].map(answerer));
      for (const who of all) unmet.set(who, (unmet.get(who) ?? 1) * (1 - 1 / all.size));
    }
    const met = new Set([...(outcomes.get(target) ?? [])].map(answerer));
    const missed = [...unmet].filter(([who, chance]) => chance < 1e-6 && !met.has(who));
    return missed.map(([who]) => `${target.name}: ${who}`);
  });
}

function answerer(outcome: string): string {
  return outcome.replace(/,.*/, "");
}
