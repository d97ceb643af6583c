import { alignTabs } from "@cnilab/core";
import type { Flow, FlowResponse } from "./flow.ts";
import { flowEnds, flowType, identityText, summaryText, verdictText } from "./flow-text.ts";
import { formatTime, type TimeFormat } from "./time-format.ts";

export const FLOW_FORMATS = ["compact", "dict", "table", "json", "jsonpb"] as const;

export type FlowFormat = (typeof FLOW_FORMATS)[number];

/** Paints one part of a line; by default nothing is painted. */
export type FlowPainter = (
  part: "host" | "identity" | "forwarded" | "dropped" | "other",
  text: string,
) => string;

export interface FlowPrinterOptions {
  readonly format: FlowFormat;
  /** `--print-node-name`. */
  readonly nodeName?: boolean;
  /** `--ip-translation`: names for addresses. */
  readonly translate?: boolean;
  /** `--print-policy-names`. */
  readonly policyNames?: boolean;
  readonly timeFormat?: TimeFormat;
  readonly paint?: FlowPainter;
}

/** Prints flows as `hubble observe` does (hubble/pkg/printer), each as it comes; a table comes as a whole at the end. */
export class FlowPrinter {
  readonly #options: Required<FlowPrinterOptions>;
  readonly #rows: string[][] = [];
  #printed = 0;

  constructor(options: FlowPrinterOptions) {
    this.#options = {
      nodeName: false,
      translate: true,
      policyNames: false,
      timeFormat: "StampMilli",
      paint: (_part, text) => text,
      ...options,
    };
  }

  /** The text of one flow with its line end; empty for tables. */
  print(response: FlowResponse): string {
    const { flow = {} } = response;
    switch (this.#options.format) {
      case "json":
      case "jsonpb":
        return `${JSON.stringify(withoutDefaults(response))}\n`;
      case "compact":
        return escaped(this.#compact(flow));
      case "dict":
        return escaped(this.#dict(flow));
      case "table":
        this.#rows.push(this.#row(flow));
        return "";
    }
  }

  /** What is left to print. */
  close(): string {
    if (this.#rows.length === 0) return "";
    const { nodeName } = this.#options;
    const header = ["TIMESTAMP", ...(nodeName ? ["NODE"] : []), "SOURCE", "DESTINATION", "TYPE"];
    const rows = [[...header, "VERDICT", "SUMMARY"], ...this.#rows.splice(0)];
    // As hubble/pkg/printer makes its tabwriter.
    return escaped(
      alignTabs(
        rows.map((row) => row.join("\t")),
        { minWidth: 2, padding: 3 },
      ),
    );
  }

  #compact(flow: Flow): string {
    const { nodeName, timeFormat, translate, policyNames, paint } = this.#options;
    const { source, destination } = flowEnds(flow, translate);
    const left = `${paint("host", source)} ${paint("identity", identityText(flow.source?.identity ?? 0))}`;
    const right = `${paint("host", destination)} ${paint("identity", identityText(flow.destination?.identity ?? 0))}`;
    const ends =
      flow.is_reply === undefined
        ? `${left} <> ${right}`
        : flow.is_reply
          ? `${right} <- ${left}`
          : `${left} -> ${right}`;
    const node = nodeName ? ` [${flow.node_name ?? ""}]` : "";
    const verdict = paint(verdictColour(flow), verdictText(flow, policyNames));
    return `${formatTime(flow.time, timeFormat)}${node}: ${ends} ${flowType(flow)} ${verdict} (${summaryText(flow)})\n`;
  }

  #dict(flow: Flow): string {
    const { nodeName, timeFormat, translate, policyNames, paint } = this.#options;
    const { source, destination } = flowEnds(flow, translate);
    const lines = [
      `  TIMESTAMP: ${formatTime(flow.time, timeFormat)}`,
      ...(nodeName ? [`       NODE: ${flow.node_name ?? ""}`] : []),
      `     SOURCE: ${paint("host", source)}`,
      `DESTINATION: ${paint("host", destination)}`,
      `       TYPE: ${flowType(flow)}`,
      `    VERDICT: ${paint(verdictColour(flow), verdictText(flow, policyNames))}`,
      `    SUMMARY: ${summaryText(flow)}`,
    ];
    const separator = this.#printed++ === 0 ? "" : "------------\n";
    return `${separator}${lines.join("\n")}\n`;
  }

  #row(flow: Flow): string[] {
    const { nodeName, timeFormat, translate, policyNames } = this.#options;
    const { source, destination } = flowEnds(flow, translate);
    return [
      formatTime(flow.time, timeFormat),
      ...(nodeName ? [flow.node_name ?? ""] : []),
      source,
      destination,
      flowType(flow),
      verdictText(flow, policyNames),
      summaryText(flow),
    ];
  }
}

function verdictColour({ verdict }: Flow): "forwarded" | "dropped" | "other" {
  if (verdict === "FORWARDED" || verdict === "REDIRECTED") return "forwarded";
  return verdict === "DROPPED" || verdict === "ERROR" ? "dropped" : "other";
}

/** What comes off the wire must not command the terminal; colours of our own pass. */
function escaped(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that character is what is looked for
  return text.replace(/\u001b(?!\[\d+m)/g, "^[").replaceAll("\r", "\\r");
}

/** Enumerations' first names, which protobuf leaves away as it does 0, false and "". */
const DEFAULT_NAMES: ReadonlySet<unknown> = new Set([
  "VERDICT_UNKNOWN",
  "DISABLED",
  "IP_NOT_USED",
  "UNKNOWN_TYPE",
  "UNKNOWN_L7_TYPE",
  "TRAFFIC_DIRECTION_UNKNOWN",
  "UNKNOWN_POINT",
  "TRACE_REASON_UNKNOWN",
  "DROP_REASON_UNKNOWN",
  "DBG_CAPTURE_POINT_UNKNOWN",
  "SOCK_XLATE_POINT_UNKNOWN",
]);
/** Fields of these names hold no text of a user. */
const ENUM_FIELDS: ReadonlySet<string> = new Set([
  "verdict",
  "auth_type",
  "ipVersion",
  "Type",
  "type",
  "traffic_direction",
  "trace_observation_point",
  "trace_reason",
  "drop_reason_desc",
  "debug_capture_point",
  "sock_xlate_point",
]);

/** As protobuf writes JSON: without what has its default value. Wrapped values stay. */
function withoutDefaults(value: object): object {
  const kept: Record<string, unknown> = {};
  for (const [field, each] of Object.entries(value)) {
    if (field === "is_reply" || field === "@type") {
      if (each !== null && each !== undefined) kept[field] = each;
    } else if (Array.isArray(each)) {
      if (each.length === 0) continue;
      kept[field] = each.map((one: unknown) =>
        typeof one === "object" && one !== null ? withoutDefaults(one) : one,
      );
    } else if (typeof each === "object" && each !== null) {
      kept[field] = withoutDefaults(each);
    } else if (each !== undefined && each !== null && each !== 0 && each !== false && each !== "") {
      if (ENUM_FIELDS.has(field) && DEFAULT_NAMES.has(each)) continue;
      kept[field] = each;
    }
  }
  return kept;
}
