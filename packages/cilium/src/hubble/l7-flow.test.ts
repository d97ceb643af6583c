import { parseIp } from "@cnilab/net";
import { expect, test } from "vitest";
import type { AccessLogMessage } from "./access-log-message.ts";
import type { FlowLookups } from "./flow-lookups.ts";
import { flowOf } from "./flow-parser.ts";
import { FlowPrinter } from "./flow-printer.ts";
import { MESSAGE_TYPE } from "./monitor-messages.ts";

const PODS: Readonly<Record<string, string>> = { "10.0.0.5": "xwing", "10.0.1.7": "deathstar" };
const lookups: FlowLookups = {
  endpoint: (address, identity) => ({
    identity,
    namespace: "default",
    pod_name: Object.entries(PODS).find(([ip]) => parseIp(ip) === address)?.[1] ?? "",
  }),
  service: () => undefined,
  names: () => [],
  uuid: () => "uuid",
};
const xwing = { address: parseIp("10.0.0.5"), port: 41000, identity: 30001 };
const deathstar = { address: parseIp("10.0.1.7"), port: 80, identity: 30002 };
const line = { type: MESSAGE_TYPE.l7, node: "node-1", time: 1500, ingress: true } as const;
const http = { method: "PUT", url: "http://deathstar/v1/exhaust-port", protocol: "HTTP/1.1" };
const dns = { query: "api.example.com.", questionTypes: ["A"] };

test.each<[name: string, message: AccessLogMessage, text: string]>([
  [
    "a request that is denied",
    {
      ...line,
      kind: "REQUEST",
      verdict: "DENIED",
      transport: "TCP",
      source: xwing,
      destination: deathstar,
      http: { ...http, code: 0, headers: { "x-request-id": "1" }, latencyMs: 0 },
    },
    "default/xwing:41000 (ID:30001) -> default/deathstar:80 (ID:30002) http-request DROPPED (HTTP/1.1 PUT http://deathstar/v1/exhaust-port)",
  ],
  [
    "and its answer",
    {
      ...line,
      kind: "RESPONSE",
      verdict: "FORWARDED",
      transport: "TCP",
      source: deathstar,
      destination: xwing,
      http: { ...http, code: 403, headers: {}, latencyMs: 12.7 },
    },
    "default/xwing:41000 (ID:30001) <- default/deathstar:80 (ID:30002) http-response FORWARDED (HTTP/1.1 403 12ms (PUT http://deathstar/v1/exhaust-port))",
  ],
  [
    "a question",
    {
      ...line,
      kind: "REQUEST",
      verdict: "FORWARDED",
      ingress: false,
      transport: "UDP",
      source: xwing,
      destination: { ...deathstar, port: 53 },
      dns: { ...dns, ips: [], ttl: 0, cnames: [], rcode: 0, answerTypes: [] },
    },
    "default/xwing:41000 (ID:30001) -> default/deathstar:53 (ID:30002) dns-request proxy FORWARDED (DNS Query api.example.com. A)",
  ],
  [
    "addresses",
    {
      ...line,
      kind: "RESPONSE",
      verdict: "FORWARDED",
      ingress: false,
      transport: "UDP",
      source: { ...deathstar, port: 53 },
      destination: xwing,
      dns: {
        ...dns,
        ips: [parseIp("192.0.2.1"), parseIp("192.0.2.2")],
        ttl: 30,
        cnames: ["web.example.com."],
        rcode: 0,
        answerTypes: ["CNAME", "A", "A"],
      },
    },
    'default/xwing:41000 (ID:30001) <- default/deathstar:53 (ID:30002) dns-response proxy FORWARDED (DNS Answer "192.0.2.1,192.0.2.2" CNAMEs: "web.example.com." TTL: 30 (Proxy api.example.com. A))',
  ],
  [
    "a name that is not there",
    {
      ...line,
      kind: "RESPONSE",
      verdict: "FORWARDED",
      ingress: false,
      transport: "UDP",
      source: { ...deathstar, port: 53 },
      destination: xwing,
      dns: { ...dns, ips: [], ttl: 4294967295, cnames: [], rcode: 3, answerTypes: [] },
    },
    "default/xwing:41000 (ID:30001) <- default/deathstar:53 (ID:30002) dns-response proxy FORWARDED (DNS Answer RCode: Non-Existent Domain TTL: 4294967295 (Proxy api.example.com. A))",
  ],
])("%s", (_name, message, text) => {
  const flow = flowOf(message, lookups);
  expect(flow).toMatchObject({
    Type: "L7",
    event_type: { type: 129 },
    time: "2026-01-01T00:00:01.500Z",
  });
  const printed = new FlowPrinter({ format: "compact" }).print({ flow });
  expect(printed.trim().replace(/^.*?: (?=default)/, "")).toBe(text);
});
