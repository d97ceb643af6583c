import { readFileSync } from "node:fs";
import { join } from "node:path";
import { SeededRandom } from "@cnilab/core";
import { chooseBackend, fixtureRules, outcomeOf, type RequestHead } from "@cnilab/gateway";
import type { VectorCase } from "../../../../tools/vector-suite.ts";

interface Line {
  readonly id: string;
  readonly fixture: string;
  readonly request: RequestHead;
  readonly expect: { readonly backend?: string; readonly status?: number };
  readonly note?: string;
}

/** Requests to Ingresses and HTTPRoutes, and the backend that conformance tests and documentation expect; see README.md there. */
export async function* runSuite(folder: string): AsyncIterable<VectorCase> {
  const fixtures = JSON.parse(readFileSync(join(folder, "fixtures.json"), "utf8"));
  const random = new SeededRandom(1);
  const lines = readFileSync(join(folder, "vectors.ndjson"), "utf8").split("\n");
  for (const line of lines.filter((text) => text.trim() !== "")) {
    const { id, fixture, request, expect, note = "" } = JSON.parse(line) as Line;
    const name = `${id} ${fixture} ${request.method} ${request.scheme}://${request.host}${request.path}`;
    const decision = fixtureRules(fixture, fixtures[fixture]).routeRequest(request);
    const found = outcomeOf(decision, (backends) => chooseBackend(backends, random));
    if (found.backend === expect.backend && found.status === expect.status) {
      yield { name, outcome: "passed" };
      continue;
    }
    const detail = `expected ${JSON.stringify(expect)}, found ${JSON.stringify(found)}: ${decision.why} ${note}`;
    yield { name, outcome: "failed", detail };
  }
}
