import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { script, up } from "../../src/index.ts";
import { FIRST_PORT, type Model, outcomeOf } from "./model.ts";
import type { Flow, Verdict } from "./topology.ts";

/** What the program in the namespaces is asked: whom to serve, what to send. */
export interface ProbeRequest {
  readonly servers: readonly string[];
  readonly flows: readonly (Flow & {
    readonly id: number;
    readonly port: number;
    readonly waitMs: number;
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
  readonly #waiting = new Map<number, (results: Record<string, Result>) => void>();
  #requests = 0;

  constructor() {
    const program = fileURLToPath(new URL("probe.py", import.meta.url));
    this.#child = spawn("python3", [program], { stdio: ["pipe", "pipe", "inherit"] });
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on("line", (line) => {
      const { id, results } = JSON.parse(line);
      this.#waiting.get(id)?.(results);
      this.#waiting.delete(id);
    });
  }

  /** What becomes of the flows of a case in the kernel. @throws Error where the tools refuse the state */
  async verdicts(model: Model, prefix: string): Promise<Verdict[]> {
    const realized = await up(script(model.network, { prefix }));
    try {
      return verdictsOf(await this.#ask(requestOf(model, prefix)), model, prefix);
    } finally {
      await realized.remove();
    }
  }

  #ask(request: ProbeRequest): Promise<Record<string, Result>> {
    const id = ++this.#requests;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#child.stdin?.write(`${JSON.stringify({ ...request, id })}\n`);
    });
  }

  close(): void {
    this.#child.stdin?.end();
  }
}

export function requestOf(model: Model, prefix: string): ProbeRequest {
  const name = (netns: string): string => `${prefix}.m.${netns}`;
  return {
    servers: [...model.kernel.namespaces].map((netns) => name(netns.name)),
    flows: model.flows.map((flow, id) => ({
      ...flow,
      id,
      netns: name(flow.netns),
      port: FIRST_PORT + id,
      waitMs: model.waitMs,
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
