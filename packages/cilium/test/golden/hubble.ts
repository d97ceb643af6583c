import { dropReasonText } from "../../src/hubble/drop-reasons.ts";
import type { Flow } from "../../src/hubble/flow.ts";
import { FlowPrinter, type FlowPrinterOptions } from "../../src/hubble/flow-printer.ts";
import { policyMatchText, tracePointText } from "../../src/hubble/monitor-messages.ts";
import { difference } from "./compare.ts";
import type { GoldenRun } from "./golden-run.ts";

interface HubbleCase {
  readonly flow: Flow;
  readonly compact: string;
  readonly compactNode: string;
  readonly compactIPs: string;
  readonly dict: string;
  readonly tab: string;
  /** Blanks in it vary on purpose. */
  readonly jsonpb: string;
}

export const hubblePrint: GoldenRun<undefined, HubbleCase> = ({ case: golden }) => {
  const printed = (options: FlowPrinterOptions) => {
    const printer = new FlowPrinter(options);
    return printer.print({ flow: golden.flow }) + printer.close();
  };
  const { compact, compactNode, compactIPs, dict, tab } = golden;
  return difference(
    { compact, compactNode, compactIPs, dict, tab, jsonpb: JSON.parse(golden.jsonpb) },
    {
      compact: printed({ format: "compact" }),
      compactNode: printed({ format: "compact", nodeName: true }),
      compactIPs: printed({ format: "compact", translate: false }),
      dict: printed({ format: "dict" }),
      tab: printed({ format: "table" }),
      jsonpb: JSON.parse(printed({ format: "jsonpb" })),
    },
  );
};

interface TableCase {
  readonly names: Readonly<Record<string, string>>;
}

const TABLES: Readonly<Record<string, (number: number) => string>> = {
  "drop-reasons": (reason) => dropReasonText(reason),
  "trace-points": tracePointText,
  "policy-match-types": policyMatchText,
};

export const monitorTables: GoldenRun<undefined, TableCase> = ({ case: { name, names } }) => {
  const table = TABLES[name];
  if (table === undefined) return `there is no table ${name}`;
  const ours = Object.keys(names).map((number) => [number, table(Number(number))] as const);
  return difference(names, Object.fromEntries(ours));
};
