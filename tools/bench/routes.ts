import type { HTTPRoute, HttpRouteRule, Ingress } from "@cnilab/core";
import { gatewayState, ingressRules, type ProxyRules, type RequestHead } from "@cnilab/gateway";
import { cpuSeconds, perCpuSecond } from "./measure.ts";
import type { Results } from "./packets.ts";

const CONTROLLER = "cnilab.dev/bench";
const COUNTS = [10, 1000] as const;

/** How rules differ from each other: a host of its own each, or paths of one host. */
const SHAPES = ["hosts", "paths"] as const;

/**
 * How many requests a CPU second has room for, at few HTTPRoutes and at many of three rules each, and what it costs to
 * read them; the same for Ingresses as ingress-nginx reads them.
 */
export function routeResults(): Results {
  const results: Results = {};
  for (const shape of SHAPES) {
    for (const [kind, make] of [
      ["routes", gatewayRules],
      ["ingresses", nginxRules],
    ] as const) {
      for (const count of COUNTS) {
        const name = `${kind}.${shape}.${count}`;
        let rules = make(count, shape);
        const read = cpuSeconds(() => {
          rules = make(count, shape);
        });
        results[`${name}.read.cpuMs`] = read * 1000;
        results[`${name}.matchesPerCpuSecond`] = matches(rules, requests(count, shape));
      }
      const [few, many] = COUNTS.map(
        (count) => results[`${kind}.${shape}.${count}.matchesPerCpuSecond`] as number,
      ) as [number, number];
      // 1 is a look-up that does not mind how many there are.
      results[`${kind}.${shape}.times1000to10`] = few / many;
    }
  }
  return results;
}

function matches(rules: ProxyRules, asked: readonly RequestHead[]): number {
  return perCpuSecond((times) => {
    let forwarded = 0;
    for (let i = 0; i < times; i++) {
      const { action } = rules.routeRequest(asked[i % asked.length] as RequestHead);
      if (action === "forward") forwarded++;
    }
    if (forwarded !== times) throw new Error(`${times - forwarded} requests found no backend`);
  });
}

function hostOf(i: number, shape: string): string {
  return shape === "hosts" ? `shop-${i}.example.com` : "shop.example.com";
}

function pathOf(i: number, shape: string): string {
  return shape === "hosts" ? "" : `/shop-${i}`;
}

function requests(count: number, shape: string): RequestHead[] {
  return Array.from({ length: count }, (_, i) => ({
    scheme: "http",
    method: "GET",
    host: hostOf(i, shape),
    path: `${pathOf(i, shape)}${["/", "/cart/items/7?page=2", "/login"][i % 3]}`,
    headers: { "user-agent": "bench" },
  }));
}

function gatewayRules(count: number, shape: string): ProxyRules {
  const httpRoutes = Array.from({ length: count }, (_, i): HTTPRoute => {
    const rule = (type: "Exact" | "PathPrefix", path: string): HttpRouteRule => ({
      matches: [{ path: { type, value: `${pathOf(i, shape)}${path}` } }],
      backendRefs: [{ name: `web-${i}`, port: 80 }],
    });
    return {
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "HTTPRoute",
      metadata: { name: `route-${i}`, namespace: "default" },
      spec: {
        parentRefs: [{ name: "web" }],
        hostnames: [hostOf(i, shape)],
        rules: [rule("PathPrefix", "/"), rule("PathPrefix", "/cart"), rule("Exact", "/login")],
      },
    };
  });
  const { gateways } = gatewayState(
    {
      gatewayClasses: [
        {
          apiVersion: "gateway.networking.k8s.io/v1",
          kind: "GatewayClass",
          metadata: { name: "bench" },
          spec: { controllerName: CONTROLLER },
        },
      ],
      gateways: [
        {
          apiVersion: "gateway.networking.k8s.io/v1",
          kind: "Gateway",
          metadata: { name: "web", namespace: "default" },
          spec: {
            gatewayClassName: "bench",
            listeners: [{ name: "http", port: 80, protocol: "HTTP" }],
          },
        },
      ],
      httpRoutes,
    },
    { controllerName: CONTROLLER },
  );
  return gateways.get("default/web") as ProxyRules;
}

function nginxRules(count: number, shape: string): ProxyRules {
  const ingresses = Array.from({ length: count }, (_, i): Ingress => {
    const path = (pathType: "Exact" | "Prefix", text: string) => ({
      pathType,
      path: `${pathOf(i, shape)}${text}`,
      backend: { service: { name: `web-${i}`, port: { number: 80 } } },
    });
    const paths = [path("Prefix", "/"), path("Prefix", "/cart"), path("Exact", "/login")];
    return {
      apiVersion: "networking.k8s.io/v1",
      kind: "Ingress",
      metadata: { name: `ingress-${i}`, namespace: "default" },
      spec: { rules: [{ host: hostOf(i, shape), http: { paths } }] },
    };
  });
  return ingressRules({ ingresses, ingressClasses: [] }, { watchIngressWithoutClass: true });
}
