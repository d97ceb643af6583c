import { HttpResponse, type NetNamespace, startHttpServer } from "@cnilab/linux";
import { IPV4_LOOPBACK, type IpAddress, tryParseIp } from "@cnilab/net";
import type { ServerBlock } from "../corefile/corefile.ts";

const DEFAULT_ADDRESSES: Readonly<Record<string, string>> = {
  health: ":8080",
  ready: ":8181",
  prometheus: "localhost:9153",
};

/** One server that plugins of a Corefile ask for. */
export interface HttpEndpoint {
  readonly plugin: string;
  readonly address: IpAddress | undefined;
  readonly port: number;
}

/** Each once, however many server blocks ask for it. */
export function httpEndpoints(blocks: readonly ServerBlock[]): HttpEndpoint[] {
  const found = new Map<string, HttpEndpoint>();
  for (const { name, tokens } of blocks.flatMap(({ directives }) => directives)) {
    const usual = DEFAULT_ADDRESSES[name.text];
    if (usual === undefined) continue;
    const argument = tokens[1]?.text;
    const text = argument === undefined || argument === "{" ? usual : argument;
    const endpoint = readEndpoint(name.text, text);
    if (endpoint !== undefined) found.set(`${endpoint.plugin} ${text}`, endpoint);
  }
  return [...found.values()];
}

function readEndpoint(plugin: string, text: string): HttpEndpoint | undefined {
  const match = /^(?:\[([^\]]*)\]|([^:]*)):([0-9]+)$/.exec(text);
  if (match === null) return undefined;
  const host = match[1] ?? match[2] ?? "";
  const address = host === "localhost" ? IPV4_LOOPBACK : tryParseIp(host);
  return { plugin, address, port: Number(match[3]) };
}

/**
 * @param metrics in Prometheus' text format
 * @throws KernelError EADDRINUSE
 */
export function serveEndpoint(
  netns: NetNamespace,
  { plugin, address, port }: HttpEndpoint,
  owner: string,
  metrics: () => string,
): { close(): void } {
  return startHttpServer(netns, {
    address,
    port,
    owner,
    respond: ({ path }) => respond(plugin, path, metrics),
  });
}

function respond(plugin: string, path: string, metrics: () => string): HttpResponse {
  if (plugin === "health" && path === "/health") return text(200, "OK");
  // Here a watch brings all there is at once, so that the plugins are ready when they have started.
  if (plugin === "ready" && path === "/ready") return text(200, "OK");
  if (plugin === "prometheus" && path === "/metrics") return text(200, metrics());
  return text(404, "404 page not found\n");
}

function text(status: number, body: string): HttpResponse {
  return new HttpResponse(status, { "Content-Type": "text/plain; charset=utf-8" }, body);
}
