import { describe, expect, test } from "vitest";
import { parseManifests } from "./parse-manifests.ts";

const GROUPS: Readonly<Record<string, string>> = {
  Ingress: "networking.k8s.io/v1",
  IngressClass: "networking.k8s.io/v1",
  XListenerSet: "gateway.networking.x-k8s.io/v1alpha1",
  Secret: "v1",
};

function parse(kind: string, spec: string, apiVersion?: string): string {
  const version = apiVersion ?? GROUPS[kind] ?? "gateway.networking.k8s.io/v1";
  const text = `apiVersion: ${version}\nkind: ${kind}\nmetadata: {name: web}\nspec: ${spec}\n`;
  try {
    const { objects, ignored } = parseManifests(text, "g.yaml");
    return objects.length === 1 ? "" : `ignored ${ignored[0]?.kind}`;
  } catch (error) {
    return (error as Error).message;
  }
}

const rule = (text: string): string => `{rules: [${text}]}`;
const path = (text: string): string =>
  `{rules: [{http: {paths: [{${text}, backend: {service: {name: web, port: {number: 80}}}}]}}]}`;
const listener = (text: string): string =>
  `{gatewayClassName: c, listeners: [{name: a, port: 80, ${text}}]}`;

describe("what the API server takes", () => {
  test.each<[string, string, string?]>([
    ["Ingress", path("path: /a, pathType: Prefix")],
    ["Ingress", path("pathType: ImplementationSpecific")],
    ["Ingress", path("path: '/a(/|$)(.*)', pathType: ImplementationSpecific")],
    ["Ingress", "{defaultBackend: {service: {name: web, port: {name: http}}}}"],
    ["Ingress", "{defaultBackend: {resource: {apiGroup: a.b, kind: Bucket, name: x}}}"],
    ["Ingress", "{tls: [{}], rules: [{host: '*.a.example'}, {host: ''}]}"],
    ["IngressClass", "{controller: k8s.io/ingress-nginx}"],
    ["GatewayClass", "{controllerName: cnilab.dev/gateway}", "gateway.networking.k8s.io/v1beta1"],
    ["Gateway", listener("protocol: HTTP"), "gateway.networking.k8s.io/v1alpha2"],
    ["Gateway", listener("protocol: example.com/bar, allowedRoutes: {namespaces: {from: All}}")],
    ["Gateway", listener("protocol: TLS, tls: {mode: Passthrough}")],
    ["ListenerSet", "{parentRef: {name: g}, listeners: [{name: a, port: 80, protocol: HTTP}]}"],
    ["XListenerSet", "{parentRef: {name: g}, listeners: [{name: a, port: 80, protocol: HTTP}]}"],
    ["HTTPRoute", "{}"],
    ["HTTPRoute", rule("{matches: []}"), "gateway.networking.k8s.io/v1beta1"],
    ["HTTPRoute", rule("{matches: [{path: {type: RegularExpression, value: '/(a|b)+$'}}]}")],
    ["HTTPRoute", rule("{filters: [{type: RequestRedirect, requestRedirect: {statusCode: 308}}]}")],
    ["HTTPRoute", "{parentRefs: [{name: g, sectionName: a}, {name: g, sectionName: b}]}"],
    ["GRPCRoute", rule("{matches: [{method: {service: a.B, method: C}}]}")],
    [
      "TLSRoute",
      rule("{backendRefs: [{name: a, port: 443}]}"),
      "gateway.networking.k8s.io/v1alpha2",
    ],
    ["TCPRoute", rule("{backendRefs: [{name: a, port: 1}]}"), "gateway.networking.k8s.io/v1alpha2"],
    ["UDPRoute", rule("{backendRefs: [{name: a, port: 1}]}"), "gateway.networking.k8s.io/v1"],
    [
      "ReferenceGrant",
      "{from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: a}], to: [{group: '', kind: Service}]}",
      "gateway.networking.k8s.io/v1beta1",
    ],
    [
      "BackendTLSPolicy",
      "{targetRefs: [{group: '', kind: Service, name: a}], validation: {hostname: a.b, wellKnownCACertificates: System}}",
      "gateway.networking.k8s.io/v1alpha3",
    ],
  ])("%s %s %s", (kind, spec, apiVersion) => {
    expect(parse(kind, spec, apiVersion)).toBe("");
  });
});

const backend = "backendRefs: [{name: a, port: 1}]";
const replace = "path: {type: ReplacePrefixMatch, replacePrefixMatch: /}";

describe("what it refuses", () => {
  test.each<[string, string, string]>([
    ["Ingress", "{}", "spec must have rules or a defaultBackend"],
    ["Ingress", path("path: /a"), "spec.rules[0].http.paths[0].pathType is required"],
    [
      "Ingress",
      path("path: a, pathType: Exact"),
      'spec.rules[0].http.paths[0].path must start with "/"',
    ],
    ["Ingress", path("pathType: Prefix"), 'paths[0].path must start with "/"'],
    ["Ingress", path("path: /a/../b, pathType: Prefix"), 'paths[0].path must not contain "/../"'],
    ["Ingress", path("path: /a%2Fb, pathType: Exact"), 'must not contain "%2F"'],
    ["Ingress", path("path: a, pathType: ImplementationSpecific"), 'must start with "/"'],
    ["Ingress", "{rules: [{host: '*'}]}", "spec.rules[0].host must be a DNS name"],
    [
      "Ingress",
      "{rules: [{host: 10.0.0.1}]}",
      "spec.rules[0].host must be a DNS name, not the address",
    ],
    [
      "Ingress",
      "{rules: [{host: A.example}]}",
      "spec.rules[0].host must be a DNS name in lower case",
    ],
    ["Ingress", "{rules: [{http: {paths: []}}]}", "spec.rules[0].http.paths must have at least 1"],
    [
      "Ingress",
      "{defaultBackend: {}}",
      "spec.defaultBackend must have exactly one of service, resource",
    ],
    [
      "Ingress",
      "{defaultBackend: {service: {name: a, port: {}}}}",
      "port must have a name or a number",
    ],
    ["Ingress", "{backend: {serviceName: a}}", "spec.backend is no field there"],
    ["IngressClass", "{}", "spec.controller is required"],
    ["IngressClass", "{controller: nginx}", "spec.controller must be a domain and a path"],
    [
      "Gateway",
      listener("protocol: HTTP, tls: {}"),
      "listeners[0].tls must be left out for protocol HTTP",
    ],
    [
      "Gateway",
      listener("protocol: HTTPS, tls: {mode: Passthrough}"),
      "tls.mode must be Terminate",
    ],
    ["Gateway", listener("protocol: TLS"), "listeners[0].tls.mode is required for protocol TLS"],
    [
      "Gateway",
      listener("protocol: TCP, hostname: a.b"),
      "hostname must be left out for protocol TCP",
    ],
    ["Gateway", listener("protocol: HTTPS, tls: {}"), "certificateRefs must name a Secret"],
    [
      "Gateway",
      listener("protocol: HTTP}, {name: a, port: 81, protocol: HTTP"),
      '[1].name is "a" a second',
    ],
    [
      "Gateway",
      listener("protocol: HTTP}, {name: b, port: 80, protocol: HTTP"),
      "[1] is HTTP 80 a second",
    ],
    [
      "ListenerSet",
      "{parentRef: {name: g}, listeners: []}",
      "spec.listeners must have at least 1 item",
    ],
    ["HTTPRoute", "{rules: []}", "spec.rules must have at least 1 item"],
    [
      "HTTPRoute",
      "{hostnames: ['1.2.3.4']}",
      "spec.hostnames[0] must be a DNS name, not the address",
    ],
    [
      "HTTPRoute",
      rule("{matches: [{path: {value: a}}]}"),
      'matches[0].path.value must start with "/"',
    ],
    [
      "HTTPRoute",
      rule("{matches: [{path: {value: '/a b'}}]}"),
      "must hold only what a URL's path may hold",
    ],
    ["HTTPRoute", rule("{matches: [{method: get}]}"), "matches[0].method must be GET"],
    [
      "HTTPRoute",
      rule("{matches: [{headers: [{name: a, value: x}, {name: a, value: y}]}]}"),
      'headers[1] is "a" a second time',
    ],
    [
      "HTTPRoute",
      rule("{backendRefs: [{name: a}]}"),
      "backendRefs[0].port is required for a Service",
    ],
    [
      "HTTPRoute",
      rule("{backendRefs: [{name: a, port: 1, weight: -1}]}"),
      "weight must be a whole number",
    ],
    ["HTTPRoute", rule("{filters: [{type: CORS}]}"), "filters[0].cors is required for type CORS"],
    [
      "HTTPRoute",
      rule("{filters: [{type: URLRewrite, urlRewrite: {}, cors: {}}]}"),
      "filters[0].cors must be left out for type URLRewrite",
    ],
    [
      "HTTPRoute",
      rule("{filters: [{type: URLRewrite, urlRewrite: {}}, {type: URLRewrite, urlRewrite: {}}]}"),
      "filters[1].type is URLRewrite a second time",
    ],
    [
      "HTTPRoute",
      rule(
        "{filters: [{type: URLRewrite, urlRewrite: {}}, {type: RequestRedirect, requestRedirect: {}}]}",
      ),
      "filters cannot have both RequestRedirect and URLRewrite",
    ],
    [
      "HTTPRoute",
      rule(`{filters: [{type: RequestRedirect, requestRedirect: {}}], ${backend}}`),
      "filters[0] redirects, so the rule must have no backendRefs",
    ],
    [
      "HTTPRoute",
      rule(
        `{matches: [{}, {}], filters: [{type: URLRewrite, urlRewrite: {${replace}}}], ${backend}}`,
      ),
      "matches must be exactly one, of type PathPrefix",
    ],
    [
      "HTTPRoute",
      rule("{timeouts: {request: 1s, backendRequest: 2s}}"),
      "must not be longer than request",
    ],
    ["HTTPRoute", rule("{timeouts: {request: 1 s}}"), "timeouts.request must be a duration"],
    [
      "HTTPRoute",
      "{parentRefs: [{name: g}, {name: g}]}",
      "parentRefs[1] names a parent a second time",
    ],
    ["GRPCRoute", rule("{matches: [{method: {}}]}"), "method must have a service or a method"],
    [
      "GRPCRoute",
      rule("{matches: [{method: {service: a/b}}]}"),
      "service must be a service such as",
    ],
    ["TCPRoute", "{hostnames: [a.b], rules: [{}]}", "spec.hostnames is no field there"],
    ["ReferenceGrant", "{from: [], to: []}", "spec.from must have at least 1 item"],
    [
      "BackendTLSPolicy",
      "{targetRefs: [{group: '', kind: Service, name: a}], validation: {hostname: a.b}}",
      "spec.validation must have exactly one of caCertificateRefs and wellKnownCACertificates",
    ],
  ])("%s %s: %s", (kind, spec, message) => {
    expect(parse(kind, spec)).toContain(message);
  });

  test("the line of the field is named", () => {
    const text = `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web
spec:
  rules:
    - http:
        paths:
          - path: /
            pathType: prefix
            backend: {service: {name: web, port: {number: 80}}}
`;
    expect(() => parseManifests(text, "i.yaml")).toThrow(
      "i.yaml:10: Ingress default/web: spec.rules[0].http.paths[0].pathType must be Exact, Prefix or ImplementationSpecific",
    );
  });

  test.each<[string, string, string]>([
    ["Ingress", "networking.k8s.io/v1beta1", "is not served any more; write networking.k8s.io/v1"],
    ["Ingress", "extensions/v1beta1", "is not served any more; write networking.k8s.io/v1"],
    ["Gateway", "gateway.networking.k8s.io/v1alpha1", "write gateway.networking.k8s.io/v1"],
    ["Gateway", "networking.istio.io/v1", "ignored Gateway"],
  ])("%s of %s: %s", (kind, apiVersion, message) => {
    expect(parse(kind, listener("protocol: HTTP"), apiVersion)).toContain(message);
  });

  test("the class in two places", () => {
    const text = `{"apiVersion":"networking.k8s.io/v1","kind":"Ingress","metadata":{"name":"a","annotations":{"kubernetes.io/ingress.class":"x"}},"spec":{"ingressClassName":"y","rules":[{}]}}`;
    expect(() => parseManifests(text, "i.json")).toThrow("must be y as spec.ingressClassName is");
  });

  test("a certificate without its key", () => {
    const text = `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"},"type":"kubernetes.io/tls","data":{"tls.crt":"eA=="}}`;
    expect(() => parseManifests(text, "s.json")).toThrow('data["tls.key"] is required');
  });
});
