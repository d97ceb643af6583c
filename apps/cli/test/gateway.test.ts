import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { cnilab, hasVectors, VECTORS } from "./cnilab.ts";
import { scratchFiles } from "./scratch-files.ts";

const file = scratchFiles("cnilab-gateway-");

const ingress = file(
  "ingress.yaml",
  `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop}
spec:
  ingressClassName: nginx
  rules:
    - host: shop.example.com
      http:
        paths:
          - {path: /cart, pathType: Prefix, backend: {service: {name: cart, port: {number: 80}}}}
          - {path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}
`,
);
const routes = (cart: string): string => `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop}
spec:
  parentRefs: [{name: web}]
  hostnames: [shop.example.com]
  rules:
    - {matches: [{path: {value: /cart}}], backendRefs: [{name: ${cart}, port: 80}]}
    - {backendRefs: [{name: web, port: 80}]}
`;
const same = file("same.yaml", routes("cart"));
const other = file("other.yaml", routes("basket"));
const request = (text: string): string => file("requests.ndjson", `${text}\n`);

describe("gateway diff", () => {
  test("says that all go the same way", async () => {
    const { status, stdout } = await cnilab(["gateway", "diff", "-f", ingress, "--with", same]);
    expect(stdout).toMatch(/^[0-9]+ requests: all go the same way/);
    expect(status).toBe(0);
  });

  test("shows what goes another way, and exits with 1", async () => {
    const { status, stdout } = await cnilab(["gateway", "diff", "-f", ingress, "-f", other]);
    expect(status).toBe(1);
    expect(stdout).toContain("REQUEST");
    expect(stdout).toContain("GET http://shop.example.com/cart");
    expect(stdout).toMatch(/default\/cart:80 +default\/basket:80/);
  });

  test("hands out all differences as JSON, those of given requests first", async () => {
    const asked = request('{"request":{"url":"http://shop.example.com/cart/7"}}');
    const args = ["gateway", "diff", "-f", ingress, "--with", other, "--requests", asked];
    const { status, stdout } = await cnilab([...args, "-o", "json"]);
    const { requests, differences } = JSON.parse(stdout);
    expect(status).toBe(1);
    expect(requests).toBeGreaterThan(differences.length);
    expect(differences[0]).toMatchObject({
      aspect: "given",
      request: { host: "shop.example.com", path: "/cart/7" },
      ingress: { backends: ["default/cart:80"] },
      routes: { backends: ["default/basket:80"] },
    });
  });
});

describe("gateway diff, where something cannot be compared,", () => {
  const guarded = file(
    "guarded.yaml",
    readFileSync(ingress, "utf8").replace(
      "{name: shop}",
      '{name: shop, annotations: {nginx.ingress.kubernetes.io/auth-url: "http://x/", nginx.ingress.kubernetes.io/limit-rps: "5"}}',
    ),
  );
  const args = ["gateway", "diff", "-f", guarded, "--with", same];

  test("says so, and does not say yes", async () => {
    const { status, stdout } = await cnilab(args);
    expect(stdout).toMatch(/^[0-9]+ requests: all go the same way .*, as far as they can be/);
    expect(stdout).toMatch(
      /^not compared: nginx.ingress.kubernetes.io\/auth-url: .*let in \(Ingress default\/shop\)$/m,
    );
    expect(status).toBe(1);
  });

  test("exits with 0 once each is accepted", async () => {
    const one = await cnilab([...args, "--accept", "auth-url"]);
    expect(one.status).toBe(1);
    expect(one.stdout).not.toContain("auth-url");
    const both = await cnilab([...args, "--accept", "auth-url", "--accept", "limit-rps"]);
    expect(both).toMatchObject({ status: 0, stdout: expect.not.stringContaining("not compared") });
  });

  test("speaks of the controller's own settings, where the input has them", async () => {
    const settings = file(
      "settings.yaml",
      `{apiVersion: v1, kind: ConfigMap, metadata: {name: ingress-nginx-controller, namespace: ingress-nginx}, data: {whitelist-source-range: 10.0.0.0/8, worker-processes: "2"}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: other}, data: {whitelist-source-range: x}}
`,
    );
    const { status, stdout } = await cnilab([
      "gateway",
      "diff",
      "-f",
      ingress,
      "-f",
      settings,
      "--with",
      same,
    ]);
    expect(stdout.match(/^not compared: .*/gm)).toEqual([
      "not compared: ConfigMap ingress-nginx/ingress-nginx-controller data.whitelist-source-range: counts for every Ingress of its controller, and is not read here",
    ]);
    expect(status).toBe(1);
  });

  test("has it as JSON", async () => {
    const { stdout } = await cnilab([...args, "--accept", "limit-rps", "-o", "json"]);
    expect(JSON.parse(stdout).notCompared).toMatchObject([
      { what: "auth-url", object: "Ingress default/shop", accepted: false },
      { what: "limit-rps", object: "Ingress default/shop", accepted: true },
    ]);
  });
});

describe("gateway route", () => {
  test("answers by manifests", async () => {
    const asked = request('{"id":1,"request":{"url":"http://shop.example.com/cart/7"}}');
    const { status, stdout } = await cnilab([
      "gateway",
      "route",
      "-f",
      ingress,
      "--requests",
      asked,
    ]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ id: 1, backend: "default/cart:80" });
  });

  test("says whose weight gave a request to which backend", async () => {
    const canary = readFileSync(ingress, "utf8")
      .replace(
        "{name: shop}",
        '{name: next, annotations: {nginx.ingress.kubernetes.io/canary: "true", nginx.ingress.kubernetes.io/canary-weight: "50"}}',
      )
      .replaceAll("service: {name: cart", "service: {name: cart-next");
    const asked = request(
      Array(20).fill('{"request":{"url":"http://shop.example.com/cart"}}').join("\n"),
    );
    const files = ["-f", ingress, "-f", file("canary.yaml", canary)];
    const { stdout } = await cnilab(["gateway", "route", ...files, "--requests", asked]);
    const found = stdout.trim().split("\n");
    expect(
      new Set(
        found.map((line) => {
          const { backend, rule, why } = JSON.parse(line);
          return `${backend} ${rule.split(" ")[1]}: ${why}`;
        }),
      ),
    ).toEqual(
      new Set([
        'default/cart:80 default/shop: location = "/cart" matches; canary Ingress default/next has weight 50 of 100',
        "default/cart-next:80 default/next: canary by weight 50 of 100",
      ]),
    );
  });

  const fixtures = file(
    "fixtures.json",
    JSON.stringify({
      a: { kind: "Ingress", rules: [{ paths: [{ path: "/a", pathType: "Exact", backend: "x" }] }] },
    }),
  );
  const good = '{"fixture":"a","request":{"path":"/a"},"mine":[1]}';

  test("adds backend or status to the lines of fixtures, and leaves them as they are", async () => {
    const asked = request(`${good}\n\n{"fixture":"a","request":{"path":"/b"}}`);
    const args = ["gateway", "route", "--fixtures", fixtures, "--requests", asked];
    const { stdout } = await cnilab(args);
    expect(stdout).toBe(
      '{"fixture":"a","request":{"path":"/a"},"mine":[1],"backend":"x"}\n{"fixture":"a","request":{"path":"/b"},"status":404}\n',
    );
  });

  test("takes an earlier answer out of a line, whichever field it had", async () => {
    const asked = request(
      [
        '{"fixture":"a","backend":"mine","request":{"path":"/b"},"status":5}',
        '{"fixture":"a","backend":"mine","request":{"path":"/a"},"status":5}',
      ].join("\n"),
    );
    const args = ["gateway", "route", "--fixtures", fixtures, "--requests", asked];
    const { stdout } = await cnilab(args);
    expect(stdout).toBe(
      '{"fixture":"a","request":{"path":"/b"},"status":404}\n{"fixture":"a","request":{"path":"/a"},"backend":"x"}\n',
    );
    const old = '{"backend":"x","why":"y","rule":"z","request":{"url":"http://no.example/"}}';
    const byManifests = ["gateway", "route", "-f", ingress, "--requests", request(old)];
    expect(JSON.parse((await cnilab(byManifests)).stdout)).toEqual({
      request: { url: "http://no.example/" },
      status: 404,
      why: expect.stringContaining("no path of any host"),
    });
  });

  test("understands a target in absolute form, whose host counts", async () => {
    const asked = request(
      '{"request":{"host":"no.example","path":"http://shop.example.com/cart?x=1"}}',
    );
    const { stdout } = await cnilab(["gateway", "route", "-f", ingress, "--requests", asked]);
    expect(JSON.parse(stdout)).toMatchObject({ backend: "default/cart:80", path: "/cart?x=1" });
  });

  test("names the file, the fixture and the field of a bad rule set", async () => {
    const bad = file("bad.json", '{"x":{"kind":"Ingress","rules":5}}');
    const args = ["gateway", "route", "--fixtures", bad, "--requests", request(good)];
    const { status, stderr } = await cnilab(args);
    expect({ status, stderr }).toEqual({
      status: 2,
      stderr: expect.stringMatching(/bad\.json: fixture x: rules must be a list\n$/),
    });
  });

  test("names the class that an annotation has and nobody here", async () => {
    const other = file(
      "annotated.yaml",
      readFileSync(ingress, "utf8")
        .replace("{name: shop}", "{name: old, annotations: {kubernetes.io/ingress.class: traefik}}")
        .replace("  ingressClassName: nginx\n", ""),
    );
    const args = ["gateway", "route", "-f", ingress, "-f", other, "--requests", request(good)];
    const { stderr } = await cnilab(args);
    expect(stderr).toContain("Ingress default/old: class traefik (annotation) belongs to no");
  });

  test.each([
    ["{", "requests.ndjson:2: is not JSON"],
    ["[]", "requests.ndjson:2: must be an object"],
    ['{"fixture":"a"}', "requests.ndjson:2: has no request"],
    ['{"fixture":"b","request":{}}', 'requests.ndjson:2: there is no fixture "b"; there are a'],
    ['{"fixture":"a","request":{"scheme":"ftp"}}', 'request.scheme must be "http" or "https"'],
    ['{"fixture":"a","request":{"path":"a"}}', 'request.path must start with "/"'],
    ['{"fixture":"a","request":{"headers":[1]}}', "request.headers must be an object"],
  ])("refuses %s before any output", async (line, message) => {
    const asked = request(`${good}\n${line}`);
    const args = ["gateway", "route", "--fixtures", fixtures, "--requests", asked];
    const { status, stdout, stderr } = await cnilab(args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toContain(message);
    expect(stderr.trim().split("\n")).toHaveLength(1);
  });

  test.skipIf(!hasVectors)("takes the golden vectors as they are (needs ../shared)", async () => {
    const [rules, asked] = [
      join(VECTORS, "ingress", "fixtures.json"),
      join(VECTORS, "ingress", "vectors.ndjson"),
    ];
    const { stdout } = await cnilab(["gateway", "route", "--fixtures", rules, "--requests", asked]);
    const wanted = readFileSync(asked, "utf8").trim().split("\n");
    const found = stdout.trim().split("\n");
    expect(found).toEqual(
      wanted.map((line) => JSON.stringify({ ...JSON.parse(line), ...JSON.parse(line).expect })),
    );
  });
});
