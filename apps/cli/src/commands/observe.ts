import {
  comparable,
  FILTER_FLAGS,
  FilterFlags,
  FLOW_FORMATS,
  type Flow,
  type FlowFilter,
  type FlowFormat,
  type FlowPainter,
  type FlowPredicate,
  FlowPrinter,
  type FlowRing,
  flowPredicate,
  Hubble,
  MONITOR_AGGREGATIONS,
  type MonitorAggregation,
  readFlowFilter,
  readMoment,
  readSavedFlow,
  TIME_FORMATS,
  type TimeFormat,
} from "@cnilab/cilium/hubble";
import { InputError, timestamp } from "@cnilab/core";
import { type Command, Option } from "commander";
import {
  addClusterFlags,
  bringUp,
  type ClusterFlags,
  warn,
  wholeNumber,
} from "../cluster-flags.ts";
import { type CurlRequest, readRequest } from "../http-request.ts";
import { wantsColour } from "../output.ts";
import type { ProgramIo } from "../program-io.ts";
import { readSource } from "../read-input.ts";
import { checkServices, clientOf } from "../service-check.ts";
import { readTarget, type TargetFlags } from "../target.ts";
import { httpCall, isUrl } from "./curl.ts";

interface ObserveFlags extends ClusterFlags {
  readonly output: FlowFormat | "JSON" | "tab";
  readonly trafficProtocol: TargetFlags["protocol"];
  readonly monitorAggregation: MonitorAggregation;
  readonly follow?: boolean;
  readonly first?: number;
  readonly last?: number;
  readonly all?: boolean;
  readonly since?: string;
  readonly until?: string;
  readonly allowlist: readonly FlowFilter[];
  readonly denylist: readonly FlowFilter[];
  readonly printRawFilters?: boolean;
  readonly printNodeName?: boolean;
  readonly printPolicyNames?: boolean;
  readonly numeric?: boolean;
  readonly ipTranslation: boolean;
  readonly timeFormat: TimeFormat;
  readonly color: "auto" | "always" | "never";
  readonly inputFile?: string;
  readonly request?: string;
}

/** Flows that `hubble observe` shows when it is not told how many. */
const DEFAULT_LAST = 20;
/** What the rings of many nodes would hold together. */
const CAPACITY = 65_535;

export function addObserveCommand(program: Command, io: ProgramIo): void {
  const filters = new FilterFlags();
  const command = program
    .command("observe")
    .description(
      "flows as hubble observe shows them, on any CNI: of one connection, or of the check of every Service",
    )
    .argument("[src]", "who asks; without SRC and DST every Service is asked, as cnilab run does")
    .argument("[dst[:port]]", "whom; or the URL of what it asks for")
    .addOption(
      new Option("--traffic-protocol <protocol>", "of the connection from SRC to DST")
        .choices(["tcp", "udp", "sctp", "icmp"])
        .default("tcp"),
    )
    .option("--request <method>", "of what is asked for, with a URL (GET)")
    .option("--input-file <file>", "show saved flows, one JSON object a line; - for standard input")
    .addOption(
      new Option("-o, --output <format>").choices([...FLOW_FORMATS, "tab"]).default("compact"),
    )
    .option("--follow", "print flows as they come, all of them")
    .option("--last <n>", "only the newest (20)", wholeNumber("--last", 1, CAPACITY))
    .option("--first <n>", "only the oldest", wholeNumber("--first", 1, CAPACITY))
    .option("--all", "all flows")
    .option("--since <time>", "not older than this: a time, or how long ago as 5s")
    .option("--until <time>", "not younger than this")
    .addOption(
      new Option("--monitor-aggregation <level>", "how much is told of a connection")
        .choices(MONITOR_AGGREGATIONS)
        .default("medium"),
    )
    .option("--print-node-name", "name the node that saw it")
    .option("--print-policy-names", "name the policies behind a verdict")
    .option("--numeric", "addresses in place of names")
    .option("--no-ip-translation", "the same")
    .addOption(new Option("--time-format <format>").choices(TIME_FORMATS).default("StampMilli"))
    .addOption(new Option("--color <when>").choices(["auto", "always", "never"]).default("auto"))
    .addOption(rawFilters("--allowlist", "flows that one of these filters lets through, as JSON"))
    .addOption(rawFilters("--denylist", "and that none of these does"))
    .option("--print-raw-filters", "print the filters as JSON, and do nothing");
  for (const { name, short, value, about } of FILTER_FLAGS) {
    const flags = `${short === undefined ? "" : `-${short}, `}--${name}${value === undefined ? "" : ` <${value}>`}`;
    const option = new Option(flags, `only flows ${about}; repeatable`);
    if (name === "not") option.description = about;
    // In the order of the command line, as --not turns the next one; with a preset, flags without values are heard of, too.
    if (value === undefined) option.preset("");
    option.argParser((text: string) => filters.add(name, text));
    command.addOption(option);
  }
  addClusterFlags(command).action((src, dst, flags) => observe(io, src, dst, flags, filters));
}

function rawFilters(flag: string, about: string): Option {
  return new Option(`${flag} <json>`, `${about}; repeatable`)
    .argParser((text: string, previous: readonly FlowFilter[]) => {
      return [...previous, readFlowFilter(text, flag)];
    })
    .default([], "none");
}

async function observe(
  io: ProgramIo,
  src: string | undefined,
  dst: string | undefined,
  flags: ObserveFlags,
  filterFlags: FilterFlags,
): Promise<void> {
  const { allow, deny } = filterFlags.filters();
  const filters = { allow: [...allow, ...flags.allowlist], deny: [...deny, ...flags.denylist] };
  const passes = flowPredicate(filters.allow, filters.deny);
  checkSelection(flags);
  if (flags.printRawFilters === true) {
    const lines = (name: string, list: readonly FlowFilter[]) =>
      list.length === 0 ? [] : [`${name}:`, ...list.map((f) => `    - '${JSON.stringify(f)}'`)];
    const text = [...lines("allowlist", filters.allow), ...lines("denylist", filters.deny)];
    io.stdout.write(text.map((line) => `${line}\n`).join(""));
    return;
  }
  const printer = new FlowPrinter({
    format: flags.output === "tab" ? "table" : (flags.output as FlowFormat),
    nodeName: flags.printNodeName === true,
    policyNames: flags.printPolicyNames === true,
    translate: flags.ipTranslation && flags.numeric !== true,
    timeFormat: flags.timeFormat,
    ...(inColour(io, flags) ? { paint } : {}),
  });
  const show = ({ node_name = "", time = "", ...rest }: Flow) => {
    const flow = { ...rest, node_name, time };
    io.stdout.write(printer.print({ flow, node_name, time }));
  };
  if (flags.inputFile !== undefined) {
    if (src !== undefined)
      throw new InputError("shows flows that are there: name no SRC", "--input-file");
    for (const flow of await readFlows(io, flags.inputFile)) if (passes(flow)) show(flow);
  } else await observeCluster(io, src, dst, flags, passes, show);
  io.stdout.write(printer.close());
}

function checkSelection(flags: ObserveFlags): void {
  const given = (["first", "last", "all"] as const).filter((name) => flags[name] !== undefined);
  if (given.length > 1)
    throw new InputError(`cannot be combined with --${given[1]}`, `--${given[0]}`);
  // Understood before a cluster is brought up for nothing; how long ago it is, the cluster's clock says.
  if (flags.since !== undefined) readMoment(flags.since, "--since", timestamp);
  if (flags.until !== undefined) readMoment(flags.until, "--until", timestamp);
  if (flags.follow !== true) return;
  if (flags.first !== undefined)
    throw new InputError("cannot be combined with --follow", "--first");
  if (flags.output === "table" || flags.output === "tab") {
    throw new InputError(
      "is set when all flows are there; choose compact with --follow",
      "-o table",
    );
  }
}

async function observeCluster(
  io: ProgramIo,
  src: string | undefined,
  dst: string | undefined,
  flags: ObserveFlags,
  passes: FlowPredicate,
  show: (flow: Flow) => void,
): Promise<void> {
  if (src !== undefined && dst === undefined) {
    throw new InputError("needs whom it asks, too: cnilab observe SRC DST[:PORT]", src);
  }
  const request = dst === undefined ? undefined : readUrl(dst, flags);
  const { cluster, warnings } = await bringUp(io, flags);
  const target =
    src === undefined || dst === undefined || request !== undefined
      ? undefined
      : readTarget(cluster, src, dst, { protocol: flags.trafficProtocol });
  const machines = new Map([...cluster.nodes].map(([name, { kernel }]) => [name, kernel] as const));
  const identities =
    flags.cni === "cilium" ? (await import("@cnilab/cilium")).agentIdentities(machines) : undefined;
  const hubble = new Hubble({
    network: cluster.network,
    api: cluster.api,
    nodes: machines,
    identities,
    aggregation: flags.monitorAggregation,
    capacity: CAPACITY,
  });
  const follows = flags.follow === true;
  if (follows) hubble.follow((flow) => passes(flow) && show(flow));
  if (src !== undefined && request !== undefined)
    cluster.requestHttp(httpCall(cluster, src, request));
  else if (target === undefined) checkServices(cluster, clientOf(cluster));
  else cluster.connect(target);
  hubble.stop();
  warn(io, [...warnings, ...cluster.warnings]);
  if (!follows) {
    const now = cluster.network.clock.now;
    for (const flow of selected(hubble.ring, flags, passes, now)) show(flow);
  }
}

function readUrl(dst: string, { request }: ObserveFlags): CurlRequest | undefined {
  if (isUrl(dst)) return readRequest(dst, { header: [], resolve: [], ...(request && { request }) });
  if (request !== undefined) {
    throw new InputError("needs a URL: cnilab observe SRC http://HOST/PATH", "--request");
  }
  return undefined;
}

function selected(
  ring: FlowRing,
  { first, last, all, since, until }: ObserveFlags,
  passes: FlowPredicate,
  now: number,
): readonly Flow[] {
  const ago = (ms: number) => timestamp(now - ms);
  const from = since === undefined ? "" : readMoment(since, "--since", ago);
  const to = until === undefined ? "~" : readMoment(until, "--until", ago);
  const inTime = ({ time = "" }: Flow) => {
    const moment = comparable(time) ?? "";
    return moment >= from && moment <= to;
  };
  const unlimited = all === true || since !== undefined || until !== undefined;
  const number = first ?? last ?? (unlimited ? undefined : DEFAULT_LAST);
  return ring.select((flow) => passes(flow) && inTime(flow), {
    ...(number === undefined ? {} : { number }),
    first: first !== undefined,
  });
}

/** Flows as `-o jsonpb` writes them, of ours or of a real Hubble. */
async function readFlows(io: ProgramIo, file: string): Promise<Flow[]> {
  const { name, text } = await readSource(io, file);
  return text.split("\n").flatMap((line, i) => {
    if (line.trim() === "") return [];
    return readSavedFlow(line, `${name}:${i + 1}`) ?? [];
  });
}

function inColour(io: ProgramIo, { color }: ObserveFlags): boolean {
  return color === "always" || (color === "auto" && wantsColour(io));
}

const COLOURS = { host: 36, identity: 35, forwarded: 32, dropped: 31, other: 33 } as const;

const paint: FlowPainter = (part, text) => `\u001b[${COLOURS[part]}m${text}\u001b[0m`;
