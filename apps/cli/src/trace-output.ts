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
import { captureBytes } from "./dns/capture-bytes.ts";
import { lookupJson } from "./dns/lookup-json.ts";
import { print, printJson, wantsColour } from "./output.ts";
import type { ProgramIo } from "./program-io.ts";

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
  flags: { readonly output: "text" | "json" | "pcapng"; readonly level: Weight },
): void {
  const { verdict, reason, backend, seenAs, lookup } = connection;
  switch (flags.output) {
    case "json":
      printJson(io, {
        src,
        dst,
        verdict,
        reason,
        ...(backend === undefined ? {} : { backend }),
        ...(seenAs === undefined ? {} : { seenAs }),
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
