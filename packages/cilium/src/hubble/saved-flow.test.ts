import fc from "fast-check";
import { expect, test } from "vitest";
import { flowPredicate } from "./flow-predicate.ts";
import { FLOW_FORMATS, FlowPrinter } from "./flow-printer.ts";
import { readFlowFilter, readSavedFlow } from "./saved-flow.ts";

test.each([
  ["{", /is not JSON/],
  ["1", /must be an object/],
  ['{"flow":[]}', /flow must be an object/],
  ['{"flow":{"source":{"labels":["a",1]}}}', /flow.source.labels\[1\] must be a string/],
  ['{"flow":{"l4":{"TCP":{"source_port":"80"}}}}', /flow.l4.TCP.source_port must be a number/],
])("%s is no saved flow", (line, message) => {
  expect(() => readSavedFlow(line, "flows:1")).toThrow(message);
});

test("states of nodes and lost events are none either, and no error", () => {
  expect(readSavedFlow('{"node_status":{}}', "flows:1")).toBeUndefined();
});

const FIELDS = [
  ..."IP l4 source destination l7 event_type verdict time is_reply extensions source_service".split(
    " ",
  ),
  ..."TCP http dns labels source_names interface identity type sub_type flags source_port".split(
    " ",
  ),
];

test("whatever is taken for a flow can be filtered and printed", () => {
  const { value } = fc.letrec<{ value: unknown; object: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.jsonValue({ maxDepth: 1 }),
      fc.array(fc.string(), { maxLength: 2 }),
      tie("object"),
    ),
    object: fc.dictionary(fc.constantFrom(...FIELDS), tie("value"), { maxKeys: 6 }),
  }));
  const passes = flowPredicate(
    [{ source_label: ["a=b"], http_path: ["x"], source_ip: ["10.0.0.0/8"] }],
    [{ node_name: ["a*"] }],
  );
  let taken = 0;
  fc.assert(
    fc.property(value, (flow) => {
      let read: ReturnType<typeof readSavedFlow>;
      try {
        read = readSavedFlow(JSON.stringify({ flow }), "flows:1");
      } catch (error) {
        expect((error as Error).name).toBe("InputError");
        return;
      }
      if (read === undefined) return;
      taken++;
      passes(read);
      for (const format of FLOW_FORMATS) {
        const printer = new FlowPrinter({ format });
        expect(typeof (printer.print({ flow: read }) + printer.close())).toBe("string");
      }
    }),
    { numRuns: 2000 },
  );
  expect(taken).toBeGreaterThan(50);
});

test("whatever is taken for a filter is one, or says what is wrong", () => {
  const fields = [
    "source_pod",
    "verdict",
    "event_type",
    "tcp_flags",
    "http_header",
    "source_port",
    "node_name",
    "x",
  ];
  fc.assert(
    fc.property(
      fc.dictionary(fc.constantFrom(...fields), fc.jsonValue({ maxDepth: 2 })),
      (filter) => {
        try {
          flowPredicate([readFlowFilter(JSON.stringify(filter), "--allowlist")])({});
        } catch (error) {
          expect((error as Error).name).toBe("InputError");
        }
      },
    ),
  );
});
