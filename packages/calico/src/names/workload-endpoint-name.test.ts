import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseWorkloadEndpointName, workloadEndpointName } from "./workload-endpoint-name.ts";

/** A name's part as Kubernetes takes it: dashes inside only. */
const part = fc.stringMatching(/^[a-z0-9]([a-z0-9.-]{0,8}[a-z0-9])?$/);

describe("workloadEndpointName", () => {
  test("can be taken apart again", () => {
    fc.assert(
      fc.property(part, part, part, (node, pod, endpoint) => {
        const ids = { node, orchestrator: "k8s", pod, endpoint };
        expect(parseWorkloadEndpointName(workloadEndpointName(ids))).toEqual(ids);
      }),
    );
  });

  test.each([
    ["no node", { node: "" }, "error with field node (field should be assigned)"],
    ["no pod", { pod: "" }, "error with field pod = '' (field should be assigned)"],
    [
      "a dash first",
      { pod: "-a" },
      "error with field pod = '-a' (field must not begin with a '-')",
    ],
    [
      "a dash last",
      { endpoint: "eth0-" },
      "error with field endpoint = 'eth0-' (field must not end with a '-')",
    ],
  ])("refuses %s", (_, wrong, message) => {
    const ids = { node: "n", orchestrator: "k8s", pod: "p", endpoint: "eth0", ...wrong };
    expect(() => workloadEndpointName(ids)).toThrow(message);
  });

  test.each([["n-k8s-p"], ["n-k8s-p-eth0-x"], [""], ["n"]])("%s is no such name", (name) => {
    expect(parseWorkloadEndpointName(name)).toBeUndefined();
  });
});
