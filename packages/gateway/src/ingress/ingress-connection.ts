import type {
  ConnectionDecision,
  IncomingConnection,
  ServedCertificate,
} from "../routing/decision.ts";
import { hostOf } from "../routing/host-index.ts";
import type { ServedPort } from "../routing/proxy-rules.ts";

/** An Ingress has no other ports. */
export const HTTP_AND_HTTPS: readonly ServedPort[] = [
  { port: 80, protocol: "HTTP" },
  { port: 443, protocol: "HTTPS" },
];

/** What an ingress controller does with a connection, by the certificate that a server name has. */
export function ingressConnection(
  { protocol, port, tls }: IncomingConnection,
  certificateOf: (serverName: string) => ServedCertificate | undefined,
): ConnectionDecision {
  const served = HTTP_AND_HTTPS.find((p) => p.port === port);
  if (served === undefined || protocol !== "TCP") {
    return { action: "reset", why: `nothing is served on ${protocol} port ${port}` };
  }
  if (served.protocol === "HTTP") return { action: "http", why: "HTTP is read on port 80" };
  if (tls === undefined) {
    // nginx answers such a request itself, with 400.
    return { action: "reset", why: "port 443 speaks TLS, and the client did not" };
  }
  const name = hostOf(tls.serverName ?? "");
  const certificate = name === "" ? undefined : certificateOf(name);
  const why =
    certificate === undefined
      ? `no certificate for ${name === "" ? "a client that names no server" : name}: the controller's own`
      : `Secret ${certificate.namespace}/${certificate.name} for ${name}`;
  return { action: "terminate", certificate, why };
}
