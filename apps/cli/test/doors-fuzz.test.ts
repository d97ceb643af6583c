import { parseManifests, storedVersion } from "@cnilab/cluster";
import { InputError, type KubeObject } from "@cnilab/core";
import fc from "fast-check";
import { expect, test } from "vitest";
import { doorsOf } from "../src/gateway-doors.ts";
import { readRequestLines } from "../src/request-lines.ts";

const API = "gateway.networking.k8s.io/v1";
const backendRefs = [{ name: "web", port: 80, weight: 1 }];

/** One of each kind, with all that is looked at in it. */
const SPECIMENS: readonly object[] = [
  {
    apiVersion: "networking.k8s.io/v1",
    kind: "Ingress",
    metadata: { name: "i", annotations: { "nginx.ingress.kubernetes.io/rewrite-target": "/$1" } },
    spec: {
      ingressClassName: "nginx",
      tls: [{ hosts: ["a.b"], secretName: "c" }],
      defaultBackend: { service: { name: "web", port: { name: "http" } } },
      rules: [
        {
          host: "a.b",
          http: {
            paths: [
              {
                path: "/a(.*)",
                pathType: "ImplementationSpecific",
                backend: { service: { name: "web", port: { number: 80 } } },
              },
            ],
          },
        },
      ],
    },
  },
  {
    apiVersion: "networking.k8s.io/v1",
    kind: "IngressClass",
    metadata: { name: "nginx" },
    spec: { controller: "k8s.io/ingress-nginx" },
  },
  {
    apiVersion: API,
    kind: "GatewayClass",
    metadata: { name: "x" },
    spec: { controllerName: "a.b/c" },
  },
  {
    apiVersion: API,
    kind: "Gateway",
    metadata: { name: "web" },
    spec: {
      gatewayClassName: "x",
      allowedListeners: { namespaces: { from: "Same" } },
      addresses: [{ type: "IPAddress", value: "10.0.0.1" }],
      listeners: [
        {
          name: "a",
          port: 80,
          protocol: "HTTP",
          hostname: "*.b",
          allowedRoutes: {
            namespaces: { from: "Selector", selector: { matchLabels: { a: "b" } } },
            kinds: [{ kind: "HTTPRoute" }],
          },
        },
        {
          name: "b",
          port: 443,
          protocol: "HTTPS",
          tls: { mode: "Terminate", certificateRefs: [{ name: "c" }] },
        },
      ],
    },
  },
  {
    apiVersion: API,
    kind: "ListenerSet",
    metadata: { name: "l" },
    spec: {
      parentRef: { name: "web" },
      listeners: [{ name: "c", port: 80, protocol: "HTTP", hostname: "c" }],
    },
  },
  {
    apiVersion: API,
    kind: "HTTPRoute",
    metadata: { name: "r" },
    spec: {
      parentRefs: [{ name: "web", sectionName: "a", port: 80 }],
      hostnames: ["a.b"],
      rules: [
        {
          matches: [
            {
              path: { type: "PathPrefix", value: "/a" },
              headers: [{ name: "x", value: "1" }],
              queryParams: [{ name: "q", value: "1" }],
              method: "GET",
            },
          ],
          filters: [
            {
              type: "RequestHeaderModifier",
              requestHeaderModifier: { set: [{ name: "a", value: "b" }], remove: ["c"] },
            },
            {
              type: "URLRewrite",
              urlRewrite: {
                hostname: "c",
                path: { type: "ReplacePrefixMatch", replacePrefixMatch: "/" },
              },
            },
            {
              type: "RequestMirror",
              requestMirror: {
                backendRef: { name: "m", port: 80 },
                fraction: { numerator: 1, denominator: 2 },
              },
            },
            { type: "CORS", cors: { allowOrigins: ["https://a.b"], maxAge: 5 } },
          ],
          backendRefs,
          timeouts: { request: "10s", backendRequest: "2s" },
          retry: { attempts: 2, codes: [503], backoff: "1s" },
          sessionPersistence: { type: "Cookie", cookie: { name: "s" } },
        },
      ],
    },
  },
  {
    apiVersion: API,
    kind: "GRPCRoute",
    metadata: { name: "g" },
    spec: {
      parentRefs: [{ name: "web" }],
      rules: [{ matches: [{ method: { service: "a.B", method: "C" } }], backendRefs }],
    },
  },
  {
    apiVersion: API,
    kind: "TLSRoute",
    metadata: { name: "t" },
    spec: { parentRefs: [{ name: "web" }], hostnames: ["a.b"], rules: [{ backendRefs }] },
  },
  {
    apiVersion: API,
    kind: "TCPRoute",
    metadata: { name: "t" },
    spec: { parentRefs: [{ name: "web" }], rules: [{ backendRefs }] },
  },
  {
    apiVersion: API,
    kind: "ReferenceGrant",
    metadata: { name: "g" },
    spec: {
      from: [{ group: "g", kind: "HTTPRoute", namespace: "a" }],
      to: [{ group: "", kind: "Service" }],
    },
  },
  {
    apiVersion: API,
    kind: "BackendTLSPolicy",
    metadata: { name: "p" },
    spec: {
      targetRefs: [{ group: "", kind: "Service", name: "web" }],
      validation: { hostname: "a.b", wellKnownCACertificates: "System" },
    },
  },
  {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "c" },
    type: "kubernetes.io/tls",
    data: { "tls.crt": "eA==", "tls.key": "eA==" },
  },
];

/** Every place in a value, as the keys that lead there. */
function placesOf(
  value: unknown,
  at: readonly (string | number)[] = [],
): (readonly (string | number)[])[] {
  if (value === null || typeof value !== "object") return [at];
  const inside = Object.keys(value).flatMap((key) =>
    placesOf((value as Record<string, unknown>)[key], [
      ...at,
      Array.isArray(value) ? Number(key) : key,
    ]),
  );
  return [at, ...inside];
}

function withValue(
  value: unknown,
  [key, ...rest]: readonly (string | number)[],
  planted: unknown,
): unknown {
  if (key === undefined) return planted;
  const inside = withValue((value as Record<string | number, unknown>)[key], rest, planted);
  if (Array.isArray(value)) return value.map((item, i) => (i === key ? inside : item));
  return { ...(value as object), [key]: inside };
}

const planted = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    "",
    "*",
    "*.a",
    "/",
    "(",
    "a.b",
    -1,
    0,
    1.5,
    70_000,
    [],
    {},
    true,
    "Exact",
    "HTTPS",
  ),
  fc.string({ maxLength: 6 }),
  fc.jsonValue({ maxDepth: 2 }),
);
const mutation = fc.tuple(fc.nat(SPECIMENS.length - 1), fc.nat(), planted);
const line = fc.oneof(
  fc.string({ maxLength: 12 }),
  fc.jsonValue().map((value) => JSON.stringify(value)),
  fc
    .record(
      {
        method: planted,
        scheme: planted,
        host: planted,
        path: planted,
        headers: planted,
        port: planted,
        url: planted,
        sni: planted,
      },
      { requiredKeys: [] },
    )
    .map((request) => JSON.stringify({ request })),
  fc
    .constantFrom("a.b", "x.b", "c", "")
    .map((host) => JSON.stringify({ request: { host, path: "/a/b?q=1" } })),
);

test("objects and requests with anything in them are understood, or refused in one sentence with the field", () => {
  let understood = 0;
  let refused = 0;
  fc.assert(
    fc.property(
      fc.array(mutation, { maxLength: 2 }),
      fc.array(line, { maxLength: 4 }),
      (changes, lines) => {
        const objects = [...SPECIMENS];
        for (const [which, place, value] of changes) {
          const places = placesOf(objects[which]);
          objects[which] = withValue(
            objects[which],
            places[place % places.length] ?? [],
            value,
          ) as object;
        }
        try {
          const text = JSON.stringify({ apiVersion: "v1", kind: "List", items: objects });
          const stored = parseManifests(text, "in.json").objects.map((o: KubeObject) =>
            storedVersion(o),
          );
          const doors = doorsOf(stored, { ingressAs: "ingress-nginx", ingressClass: "nginx" });
          const requests = lines.flatMap((each) => {
            try {
              return readRequestLines({ name: "r.ndjson", text: each });
            } catch (error) {
              expect(error).toBeInstanceOf(InputError);
              return [];
            }
          });
          for (const { request } of requests) {
            const all = [
              doors.ingress?.rules,
              ...[...doors.gateways.values()].map((door) => door.rules),
            ];
            for (const rules of all)
              expect(rules?.routeRequest(request).why ?? "none").not.toBe("");
          }
          understood++;
        } catch (error) {
          expect(error).toBeInstanceOf(InputError);
          const { message } = error as Error;
          expect(message).toMatch(/^in\.json:[0-9]+/);
          expect(message).not.toContain("\n");
          refused++;
        }
      },
    ),
    { numRuns: 1000 },
  );
  // Were it all one or the other, nothing would have been tried.
  expect(understood).toBeGreaterThan(100);
  expect(refused).toBeGreaterThan(100);
});
