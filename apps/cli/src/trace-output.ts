import type { Connection } from "@cnilab/cluster";
import {
  ANSI_STYLE,
  type NameOf,
  PLAIN_STYLE,
  traceJson,
  tracePcapng,
  traceText,
  type Weight,
} from "@cnilab/inspect";
import type { Trace } from "@cnilab/linux";
import { type Command, Option } from "commander";
import { captureBytes } from "./dns/capture-bytes.ts";
import { lookupJson } from "./dns/lookup-json.ts";
import { print, printJson, wantsColour } from "./output.ts";
import type { ProgramIo } from "./program-io.ts";
import { answeredBy } from "./verdict-output.ts";

/** Flags of commands that print a trace. */
export interface TraceOutputFlags {
  readonly output: "text" | "json" | "pcapng";
  readonly level: Weight;
}

export function addTraceOutputFlags(command: Command, level = "how much text"): Command {
  return command
    .addOption(
      new Option("-o, --output <format>", "text, json, or pcapng for Wireshark")
        .choices(["text", "json", "pcapng"])
        .default("text"),
    )
    .addOption(
      new Option("--level <level>", level)
        .choices(["summary", "normal", "verbose"])
        .default("normal"),
    );
}

/** A connection that was followed. */
export interface TracedConnection {
  readonly src: string;
  readonly dst: string;
  readonly connection: Pick<Connection, "verdict" | "reason" | "backend" | "seenAs" | "lookup">;
  readonly walk: Trace;
  readonly nameOf: NameOf;
  /** What Services did, where there are any. */
  readonly services: readonly string[];
}

/** Prints a trace with what came of it, and sets the exit code. */
export function printTrace(
  io: ProgramIo,
  { src, dst, connection, walk, nameOf, services }: TracedConnection,
  flags: TraceOutputFlags,
): void {
  const { verdict, reason, lookup } = connection;
  switch (flags.output) {
    case "json":
      printJson(io, {
        src,
        dst,
        verdict,
        reason,
        ...answeredBy(connection),
        ...(lookup === undefined ? {} : { lookup: lookupJson(lookup) }),
        services,
        ...traceJson(walk, { nameOf }),
      });
      break;
    case "pcapng":
      io.stdout.write(tracePcapng(walk, captureBytes));
      break;
    case "text": {
      const style = wantsColour(io) ? ANSI_STYLE : PLAIN_STYLE;
      print(io, traceText(walk, { level: flags.level, style, nameOf }));
      print(io, ["", ...services, `${verdict}: ${reason}`].join("\n"));
    }
  }
  if (verdict !== "allowed") io.exitCode = 1;
}
