import type { Cluster, HttpCall, HttpConnection } from "@cnilab/cluster";
import {
  ANSI_STYLE,
  type HttpReport,
  httpProblem,
  httpReport,
  type NameOf,
  PLAIN_STYLE,
  traceJson,
  tracePcapng,
  traceText,
} from "@cnilab/inspect";
import { HttpResponse, headerOf, Trace } from "@cnilab/linux";
import { type Command, Option } from "commander";
import { addClusterFlags, bringUp, type ClusterFlags, warn } from "../cluster-flags.ts";
import { captureBytes } from "../dns/capture-bytes.ts";
import { type CurlRequest, type RequestFlags, readRequest, redirected } from "../http-request.ts";
import { httpText } from "../http-text.ts";
import { nameOf } from "../names.ts";
import { print, printJson, wantsColour } from "../output.ts";
import type { ProgramIo } from "../program-io.ts";
import { addTraceOutputFlags, type TraceOutputFlags } from "../trace-output.ts";

/** Flags of whoever asks a URL, on whatever network. */
export interface AskFlags extends RequestFlags, TraceOutputFlags {
  readonly location?: boolean;
  readonly verbose?: boolean;
  readonly trace?: boolean;
}

export interface CurlFlags extends ClusterFlags, AskFlags {
  readonly namespace?: string;
}

/** Redirects that are followed at most, as curl does. */
const MOST_REDIRECTS = 50;

export function addCurlCommand(program: Command, io: ProgramIo): void {
  const command = program
    .command("curl")
    .description("ask a URL: DNS, connection, TLS, Ingress or Gateway, backend")
    .argument("<src>", "who asks: ns/pod, deploy/NAME, node/NAME, internet, an address")
    .argument("<url>", "http:// or https://; http where neither is given");
  addAskFlags(command).option("-n, --namespace <name>", "namespace of names that have none");
  addClusterFlags(command).action((src, url, flags) => curl(io, src, url, flags));
}

/** curl's own options, and what to print. */
export function addAskFlags(command: Command): Command {
  command
    .option("-X, --request <method>", "GET where it is absent")
    .option("-I, --head", "ask for the header alone: method HEAD")
    .addOption(
      new Option("-H, --header <name: value>", "a header field to send; repeatable")
        .argParser(collect)
        .default([], "none"),
    )
    .addOption(
      new Option("--resolve <host:port:address>", "the address of a host, past DNS; repeatable")
        .argParser(collect)
        .default([], "none"),
    )
    .option("-k, --insecure", "take any certificate")
    .option("-L, --location", "follow redirects")
    .option("--connect-timeout <seconds>", "for the connection and its handshake (10)")
    .option("-m, --max-time <seconds>", "for all of it (120)")
    .option("-v, --verbose", "show header fields and the certificate")
    .option("-s, --silent", "taken for the sake of habit: nothing is shown that it would hide")
    .option("--trace", "show every step of every leg");
  return addTraceOutputFlags(command, "how much text, with --trace");
}

/** Asks a URL, says what came of it, and sets the exit code. @throws InputError */
export async function curl(
  io: ProgramIo,
  src: string,
  url: string,
  flags: CurlFlags,
): Promise<void> {
  const first = readRequest(url, flags);
  const { cluster, warnings } = await bringUp(io, flags);
  cluster.forgetConnections();
  answerTo(io, src, first, flags, {
    ask: (request, own) => ask(cluster, src, request, flags, own),
    nameOf: nameOf(cluster),
    warn: () => warn(io, [...warnings, ...cluster.warnings]),
  });
}

/** Who asks and is told of, on a network. */
export interface Asker {
  /** One request, without those that its answer may lead to. @throws InputError */
  ask(request: CurlRequest, walk: Trace): Answer;
  readonly nameOf: NameOf;
  /** Says what the user should know, before the answer. */
  warn(): void;
}

/** Asks, follows redirects where that is wanted, and prints what came of it all. @throws InputError */
export function answerTo(
  io: ProgramIo,
  src: string,
  first: CurlRequest,
  flags: AskFlags,
  asker: Asker,
): void {
  const walk = new Trace();
  const answers: Answer[] = [];
  for (let next: CurlRequest | undefined = first; next !== undefined; ) {
    const own = new Trace();
    const answer = asker.ask(next, own);
    // One record of all requests; numbers of packets go on.
    append(walk, own);
    answers.push(answer);
    const { result } = answer.connection.outcome ?? {};
    next =
      flags.location === true && result instanceof HttpResponse
        ? redirected(next, result.status, headerOf(result.headers, "Location"))
        : undefined;
    if (answers.length > MOST_REDIRECTS) break;
  }
  const last = answers.at(-1) as Answer;
  const endless = answers.length > MOST_REDIRECTS;
  const problem = endless
    ? `${MOST_REDIRECTS} redirects lead nowhere: ${last.request.url}`
    : last.problem;
  asker.warn();
  const { nameOf } = asker;
  switch (flags.output) {
    case "json":
      printJson(io, {
        ...asJson(src, last),
        ...(problem === undefined ? {} : { problem }),
        ...(answers.length > 1 && {
          redirects: answers.slice(0, -1).map((a) => asJson(src, a)),
        }),
        trace: traceJson(walk, { nameOf }),
      });
      break;
    case "pcapng":
      io.stdout.write(tracePcapng(walk, captureBytes));
      break;
    case "text": {
      const style = wantsColour(io) ? ANSI_STYLE : PLAIN_STYLE;
      if (flags.trace === true) {
        print(io, traceText(walk, { level: flags.level, style, nameOf }));
        print(io, "\n");
      }
      for (const [i, answer] of answers.entries()) {
        if (i > 0) print(io, "\n");
        print(
          io,
          httpText(answer.request, answer.connection, answer.report, flags.verbose === true),
        );
      }
      if (problem !== undefined) print(io, problem);
    }
  }
  if (problem !== undefined) io.exitCode = 1;
}

/** What came of one request. */
export interface Answer {
  readonly request: CurlRequest;
  readonly connection: HttpConnection;
  readonly report: HttpReport;
  readonly problem: string | undefined;
}

/** One request, without those that its answer may lead to. @throws InputError */
function ask(
  cluster: Cluster,
  src: string,
  request: CurlRequest,
  flags: CurlFlags,
  own: Trace,
): Answer {
  const call = httpCall(cluster, src, request, flags);
  const { from } = call;
  const connection = cluster.requestHttp({ ...call, trace: own });
  const names = nameOf(cluster);
  const report = httpReport(connection.outcome?.result, own, names, ({ netns }) =>
    cluster.nameOf(netns),
  );
  const { scheme, port } = request;
  // Doors go by the Host field, certificates by the URL.
  const host = scheme === "https" ? request.host : hostField(request);
  const outside = from.kind === "internet" || from.kind === "address";
  const { path = "/" } = request.parts;
  const asked = { scheme, host, port, path, outside };
  const problem = httpProblem(cluster.api, asked, connection, names);
  return { request, connection, report, problem };
}

/** What the cluster is asked to do for a request. @throws InputError */
export function httpCall(
  cluster: Cluster,
  src: string,
  request: CurlRequest,
  flags: { readonly namespace?: string; readonly insecure?: boolean } = {},
): HttpCall {
  const scope = flags.namespace === undefined ? {} : { namespace: flags.namespace };
  const from = cluster.endpoint(src, scope);
  const space = from.kind === "pod" ? { namespace: from.key.split("/")[0] as string } : scope;
  return {
    from,
    to: cluster.endpoint(request.endpoint, { ...space, ...scope }),
    port: request.port,
    address: request.address,
    ...(request.scheme === "https" && {
      tls: { host: request.host, insecure: flags.insecure === true },
    }),
    request: request.parts,
    connectTimeoutMs: request.connectTimeoutMs,
    maxTimeMs: request.maxTimeMs,
  };
}

/** The Host field without its port. */
function hostField({ host, parts }: CurlRequest): string {
  return parts.host?.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1") ?? host;
}

function append(all: Trace, more: Trace): void {
  const offset = all.nextNumber();
  let most = offset;
  for (const step of more.steps) {
    const packet = offset + step.packet;
    most = Math.max(most, packet);
    all.steps.push({ ...step, packet });
  }
  while (all.nextNumber() < most) {}
}

function asJson(src: string, { request, connection, report, problem }: Answer): object {
  return {
    src,
    url: request.url,
    method: request.parts.method ?? "GET",
    verdict: problem === undefined ? "answered" : (connection.failure?.verdict ?? "failed"),
    ...report,
    ...(problem === undefined ? {} : { problem }),
  };
}

function collect(value: string, previous: readonly string[]): string[] {
  return [...previous, value];
}

/** Whether a destination is a URL. */
export function isUrl(text: string): boolean {
  return /^https?:\/\//i.test(text);
}
