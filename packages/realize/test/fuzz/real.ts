import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { encodeEthernet } from "@cnilab/net";
import { script, up } from "../../src/index.ts";
import { afterReports, type Counter, countersOf, quietly, type RuleListing } from "./counters.ts";
import { FIRST_PORT, type FlowEnd, type Model, outcomeOf } from "./model.ts";
import type { Flow, Verdict } from "./topology.ts";

/** What the program in the namespaces is asked: whom to serve, what to send. */
export interface ProbeRequest {
  readonly servers: readonly string[];
  /** Whether each flow waits for the end of the one before: who schedules them counts them. */
  readonly inTurn: boolean;
  readonly flows: readonly (Flow & {
    readonly id: number;
    readonly port: number;
    readonly waitMs: number;
    /** What the model says of it: the next flow waits for some ends. */
    readonly ends: FlowEnd;
  })[];
}

/** What it says about one flow. */
export interface Result {
  readonly connected?: boolean;
  readonly stalled?: boolean;
  readonly errno?: string;
  readonly from?: string;
  readonly seen?: { readonly at: string; readonly src: string; readonly ttl?: number };
}

/** The program that sends and answers in real namespaces. */
export class Prober {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, PromiseWithResolvers<Record<string, never>>>();
  #requests = 0;

  constructor() {
    const program = fileURLToPath(new URL("probe.py", import.meta.url));
    // Ctrl-C is for this process, which ends the other one by its input.
    const stdio: StdioOptions = ["pipe", "pipe", "inherit"];
    this.#child = spawn("python3", [program], { detached: true, stdio });
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on("line", (line) => {
      const { id, results } = JSON.parse(line);
      this.#waiting.get(id)?.resolve(results);
      this.#waiting.delete(id);
    });
    this.#child.stdin?.on("error", () => {}); // it has ended, which is told below
    // Nobody would ever hear of what is under way: better to end than to wait.
    this.#child.once("exit", (code) => {
      const error = new Error(`probe.py ended with ${code}`);
      for (const { reject } of this.#waiting.values()) reject(error);
    });
  }

  /** What becomes of the flows of a case in the kernel. @throws Error where the tools refuse the state */
  async verdicts(model: Model, prefix: string): Promise<Verdict[]> {
    const made = script(model.network, { prefix });
    const realized = await up({ ...made, text: `${made.text}${afterReports(made)}\n` });
    try {
      return verdictsOf(await this.#ask<Result>(requestOf(model, prefix)), model, prefix);
    } finally {
      await realized.remove();
    }
  }

  /** What rules have counted once the frames of a case were sent. @throws Error where the tools refuse the state */
  async counters(
    model: Model,
    prefix: string,
    gapMs: number,
    settleMs: number,
  ): Promise<Counter[]> {
    const realized = await up(quietly(script(model.network, { prefix })));
    try {
      const { servers } = requestOf(model, prefix);
      const frames = model.frames.map(({ dev, frame }) => ({
        netns: `${prefix}.m.${dev.netns.name}`,
        dev: dev.name,
        hex: Buffer.from(encodeEthernet(frame)).toString("hex"),
      }));
      const kernel = [...model.kernel.namespaces];
      const listings = await this.#ask<Omit<RuleListing, "netns">>({
        servers,
        frames,
        gapMs,
        settleMs,
      });
      return kernel.flatMap(({ name }) => {
        const listing = listings[`${prefix}.m.${name}`];
        return listing === undefined ? [] : countersOf({ ...listing, netns: name });
      });
    } finally {
      await realized.remove();
    }
  }

  #ask<Answer>(request: object): Promise<Record<string, Answer>> {
    const id = ++this.#requests;
    const answer = Promise.withResolvers<Record<string, never>>();
    this.#waiting.set(id, answer);
    if (this.#child.exitCode !== null) answer.reject(new Error("probe.py has ended"));
    this.#child.stdin?.write(`${JSON.stringify({ ...request, id })}\n`);
    return answer.promise;
  }

  close(): void {
    this.#child.stdin?.end();
  }
}

export function requestOf(model: Model, prefix: string): ProbeRequest {
  const name = (netns: string): string => `${prefix}.m.${netns}`;
  const namespaces = [...model.kernel.namespaces];
  return {
    inTurn: namespaces.some((netns) => netns.findIpvs() !== undefined),
    servers: namespaces.map((netns) => name(netns.name)),
    flows: model.flows.map((flow, id) => ({
      ...flow,
      id,
      netns: name(flow.netns),
      port: FIRST_PORT + id,
      waitMs: model.waitMs,
      ends: model.endOf(id),
    })),
  };
}

export function verdictsOf(
  results: Readonly<Record<string, Result>>,
  model: Model,
  prefix: string,
): Verdict[] {
  return model.flows.map((_, id) => verdictOf(results[id] ?? {}, prefix));
}

function verdictOf(result: Result, prefix: string): Verdict {
  const { seen, from } = result;
  const common = {
    ...(from === undefined ? {} : { from }),
    ...(seen === undefined
      ? {}
      : { seen: `${seen.src} at ${seen.at.slice(`${prefix}.m.`.length)}` }),
    ...(seen?.ttl === undefined || seen.ttl === null ? {} : { ttl: seen.ttl }),
  };
  if (result.connected) return { outcome: "connected", ...common };
  if (result.stalled) return { outcome: "stalled", ...common };
  return { outcome: outcomeOf(result.errno), errno: result.errno, ...common };
}
