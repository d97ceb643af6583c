import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, isAbsolute, join, resolve } from "node:path";
import process from "node:process";
import { ApiStore } from "@cnilab/cluster/objects";
import { InputError, type KubeObject, SeededRandom } from "@cnilab/core";
import {
  CoreDns,
  type DnsListener,
  type DnsServerAddress,
  type DnsTransport,
  type HiddenZone,
  type ImportedFile,
  LocalTransport,
  listenerAt,
} from "@cnilab/dns/server";
import {
  familyOf,
  formatEndpoint,
  formatIp,
  IPV4_LOOPBACK,
  type IpAddress,
  isLoopback,
  tryParseIp,
} from "@cnilab/net";
import { type Command, Option } from "commander";
import { DnsServer } from "../dns/dns-server.ts";
import { RealTransport } from "../dns/real-transport.ts";
import { SystemClock } from "../dns/system-clock.ts";
import { parseSources } from "../parse-sources.ts";
import type { ProgramIo } from "../program-io.ts";
import { readSource, readSources } from "../read-input.ts";

const MAX_PORT = 65_535;
const EXIT_FATAL = 1;
const EXIT_INTERRUPTED = 130;

interface DnsServeFlags {
  readonly filename: readonly string[];
  readonly corefile: string;
  readonly listen: string;
  readonly portOffset: string;
  readonly pluginOrder: "v1.15" | "v1.13";
  readonly seed: string;
}

export function addDnsServeCommand(dns: Command, io: ProgramIo): void {
  dns
    .command("serve")
    .description("answers real DNS clients as CoreDNS with this Corefile would, from these objects")
    .addOption(
      new Option("-f, --filename <path>", "the cluster's objects, as they are; repeatable")
        .argParser((value: string, previous: readonly string[]) => [...previous, value])
        .default([]),
    )
    .requiredOption("--corefile <file>", "paths in it are relative to its folder")
    .option("--listen <address>", "takes the place of every bind", "127.0.0.1")
    .option("--port-offset <n>", "added to the ports of the Corefile's server blocks", "0")
    .addOption(
      new Option("--plugin-order <release>", "whose order of plugins")
        .choices(["v1.15", "v1.13"])
        .default("v1.15"),
    )
    .option("--seed <n>", "of the order in which records come", "1")
    .action((flags) => serveDns(io, flags));
}

async function serveDns(io: ProgramIo, flags: DnsServeFlags): Promise<void> {
  const listen = tryParseIp(flags.listen);
  if (listen === undefined) {
    throw new InputError(`"${flags.listen}" is not an address such as 127.0.0.1`, "--listen");
  }
  const offset = wholeNumber(flags.portOffset, "--port-offset", 0, MAX_PORT);
  const seed = wholeNumber(flags.seed, "--seed", 0, Number.MAX_SAFE_INTEGER);
  if (flags.filename.length === 0) {
    throw new InputError("name the cluster's objects with -f, as -f cluster.yaml", "dns serve");
  }
  const corefile = await readSource(io, flags.corefile);
  const { objects, warnings } = parseSources(await readSources(io, flags.filename));
  for (const warning of [...warnings, ...missingNamespaces(objects)]) say(io, warning);

  const clock = new SystemClock();
  const random = new SeededRandom(seed);
  const api = new ApiStore(clock, random.fork("api"));
  for (const object of objects) api.create(object as never);
  const folder = resolve(io.cwd(), flags.corefile === "-" ? "." : dirname(flags.corefile));
  const readFile = (path: string): string | undefined => readIfThere(resolve(folder, path));
  const bound: { listeners: readonly DnsListener[] } = { listeners: [] };
  const dns = new CoreDns({
    corefile: corefile.text,
    corefileName: corefile.name,
    api,
    clock,
    random: random.fork("dns"),
    transport: transportTo(bound, listen, clock),
    readFile,
    importFiles: (pattern, from) =>
      importedFiles(resolve(isAbsolute(from) ? dirname(from) : folder, pattern)),
    environment: environment(io),
    log: ({ level, text }) => io.stderr.write(`[${level}] ${text}\n`),
    fatal: (text) => {
      say(io, `CoreDNS ends itself: ${text}`);
      process.exit(EXIT_FATAL);
    },
    pluginOrder: flags.pluginOrder,
    epochSeconds: Math.floor(Date.now() / 1000),
  });
  bound.listeners = dns.listeners;
  const { listeners, hidden } = dns.listenersByPort(listen);
  for (const zone of hidden) say(io, hiddenText(zone));
  const servers = await listenOn(listeners, listen, offset);
  dns.start();
  const end = (code: number): void => {
    for (const server of servers) server.close();
    dns.close();
    process.exit(code);
  };
  process.once("SIGINT", () => end(EXIT_INTERRUPTED));
  process.once("SIGTERM", () => end(0));
  const where = listeners.map(
    ({ port, zones }) => `${formatEndpoint(listen, port + offset)} (${zones.join(" ")})`,
  );
  say(io, `ready: DNS over UDP and TCP on ${where.join(", ")}`);
}

/** Blocks with one zone and port, told apart by `bind`, are one too many on a single address. */
function hiddenText({ zone, port, addresses, at }: HiddenZone): string {
  const bound = addresses.map(formatIp);
  const choose = bound.map((address) => `--listen ${address}`).join(" or ");
  return (
    `${at.file}:${at.line}: another block serves the zone ${zone} on port ${port}, too; this one is asked only by a ` +
    `forward to ${bound.join(" or ")}, or serves with ${choose}`
  );
}

/** All or none. */
async function listenOn(
  listeners: readonly DnsListener[],
  address: IpAddress,
  offset: number,
): Promise<DnsServer[]> {
  const servers: DnsServer[] = [];
  try {
    for (const listener of listeners) {
      const port = listener.port + offset;
      if (port < 1 || port > MAX_PORT) {
        throw new InputError(`${listener.port} plus ${offset} is not a port`, "--port-offset");
      }
      const server = new DnsServer(listener, familyOf(address));
      servers.push(server);
      await server.listen(formatIp(address), port);
    }
  } catch (error) {
    for (const server of servers) server.close();
    throw error;
  }
  return servers;
}

/** Upstreams that a block of the same Corefile is bound to are asked by a call, all others over the network. */
function transportTo(
  bound: { readonly listeners: readonly DnsListener[] },
  listen: IpAddress,
  clock: SystemClock,
): DnsTransport {
  const find = (server: DnsServerAddress): DnsListener | undefined => {
    const found = listenerAt(bound.listeners, server);
    const here = isLoopback(server.address) || server.address === listen;
    return found?.address === undefined && !here ? undefined : found;
  };
  const local = new LocalTransport({ clock, find, address: IPV4_LOOPBACK });
  const real = new RealTransport();
  return {
    open: (server, receive) => (find(server) === undefined ? real : local).open(server, receive),
  };
}

function importedFiles(pattern: string): ImportedFile[] {
  const name = basename(pattern);
  if (!name.includes("*")) {
    const text = readIfThere(pattern);
    return text === undefined ? [] : [{ file: pattern, text }];
  }
  const folder = dirname(pattern);
  const matching = new RegExp(`^${name.split("*").map(escaped).join(".*")}$`);
  let names: string[];
  try {
    names = readdirSync(folder).sort();
  } catch {
    return [];
  }
  return names
    .filter((each) => matching.test(each))
    .flatMap((each) => {
      const text = readIfThere(join(folder, each));
      return text === undefined ? [] : [{ file: join(folder, each), text }];
    });
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

function environment({ env }: ProgramIo): Record<string, string> {
  const set = Object.entries(env).filter(([, value]) => value !== undefined);
  return Object.fromEntries(set) as Record<string, string>;
}

/** No objects are added here, so that Services of a namespace that is not among them have no names. */
function missingNamespaces(objects: readonly KubeObject[]): string[] {
  const there = new Set(
    objects.filter(({ kind }) => kind === "Namespace").map((o) => o.metadata.name),
  );
  const missing = new Set<string>();
  for (const { kind, metadata } of objects) {
    const namespace = metadata.namespace ?? "default";
    if (kind === "Service" && !there.has(namespace)) missing.add(namespace);
  }
  if (missing.size === 0) return [];
  const names = [...missing].sort().join(", ");
  return [
    `Services are in namespaces that the input does not have, and so have no names: ${names}`,
  ];
}

function wholeNumber(text: string, where: string, least: number, most: number): number {
  const value = /^[0-9]+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new InputError(`must be a whole number from ${least} to ${most}, not "${text}"`, where);
}

function say(io: ProgramIo, text: string): void {
  io.stderr.write(`cnilab: ${text}\n`);
}
