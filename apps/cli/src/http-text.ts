import type { HttpConnection } from "@cnilab/cluster";
import { type HttpReport, legText } from "@cnilab/inspect";
import { HttpFailure, HttpResponse, statusText } from "@cnilab/linux";
import { formatEndpoint } from "@cnilab/net";
import type { CurlRequest } from "./http-request.ts";

/** What came of a request, for people. */
export function httpText(
  request: CurlRequest,
  { outcome, address }: HttpConnection,
  report: HttpReport,
  verbose: boolean,
): string {
  const { result } = outcome ?? {};
  const lines: string[] = [];
  if (verbose) lines.push(...sent(request, address));
  if (result instanceof HttpResponse) {
    const prefix = verbose ? "< " : "";
    lines.push(`${prefix}HTTP/1.1 ${result.status} ${statusText(result.status)}`.trimEnd());
    const headers = verbose ? Object.entries(result.headers) : location(result);
    for (const [name, value] of headers) lines.push(`${prefix}${name}: ${value}`);
    if (verbose && result.body !== "") lines.push("", result.body.trimEnd(), "");
  } else if (result instanceof HttpFailure) {
    lines.push(`no answer: ${result.message}`);
  }
  lines.push(...explained(report));
  for (const [i, leg] of report.legs.entries()) lines.push(`  leg ${i + 1}  ${legText(leg)}`);
  return lines.map((line) => `${line}\n`).join("");
}

function sent(
  { parts, scheme, host, port }: CurlRequest,
  address: HttpConnection["address"],
): string[] {
  const { method, path, query, headers = {} } = parts;
  const target = query === "" ? path : `${path}?${query}`;
  return [
    ...(address === undefined
      ? []
      : [`* ${host} port ${port} is ${formatEndpoint(address, port)}`]),
    ...(scheme === "https" ? [`* TLS with the name ${host}`] : []),
    `> ${method} ${target} HTTP/1.1`,
    `> Host: ${parts.host}`,
    ...Object.entries(headers).map(([name, value]) => `> ${name}: ${value}`),
  ];
}

function location({ headers }: HttpResponse): [string, string][] {
  return Object.entries(headers).filter(([name]) => name.toLowerCase() === "location");
}

function explained(report: HttpReport): string[] {
  const { backend, backendAddress, service, proxy, rule, why, seenAs, forwardedFor } = report;
  const lines: string[] = [];
  if (backend !== undefined) {
    const of = service === undefined ? "" : `, endpoint of Service ${service}`;
    lines.push(`  backend  ${backend} at ${backendAddress}${of}`);
  } else if (proxy !== undefined) {
    lines.push(`  backend  none: ${proxy} answers itself`);
  }
  if (rule !== undefined) {
    lines.push(`  rule     ${rule.kind} ${rule.namespace}/${rule.name} ${rule.field}`);
  }
  if (why !== undefined && why !== "") lines.push(`  why      ${why}`);
  if (proxy !== undefined) lines.push(`  proxy    ${proxy}, which sees ${report.proxySaw}`);
  if (seenAs !== undefined && backend !== undefined) {
    const told = forwardedFor === undefined ? "" : `; X-Forwarded-For: ${forwardedFor}`;
    lines.push(`  seen as  ${seenAs}${told}`);
  }
  return lines;
}
