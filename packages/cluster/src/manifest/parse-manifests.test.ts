import { InputError } from "@cnilab/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseManifests } from "./parse-manifests.ts";

const POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c}]}\n";

/** A Deployment whose lines a case can replace. */
function deployment(from: string, to: string): string {
  const text = [
    "apiVersion: apps/v1", // 1
    "kind: Deployment",
    "metadata:",
    "  name: web", // 4
    "spec:",
    "  replicas: 2", // 6
    "  selector:",
    "    matchLabels: {app: web}", // 8
    "  template:",
    "    metadata:",
    "      labels: {app: web}", // 11
    "    spec:",
    "      containers:",
    "      - name: nginx", // 14
    "        ports:",
    "        - containerPort: 80", // 16
    "",
  ].join("\n");
  expect(text).toContain(from);
  return text.replace(from, to);
}

const service = (spec: string) =>
  `apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: ${spec}\n`;
const policy = (spec: string) =>
  `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: ${spec}\n`;

function bomb(): string {
  const lines = ["a0: &a0 [x, x]"];
  for (let i = 1; i < 40; i++) lines.push(`a${i}: &a${i} [*a${i - 1}, *a${i - 1}]`);
  return lines.join("\n");
}

test.each<[string, string, string]>([
  ["an empty file", "", "in.yaml: is empty; give a file with Kubernetes objects"],
  [
    "much garbage",
    "- a\n".repeat(400_000),
    "in.yaml: holds no Kubernetes objects: nothing in it has a kind",
  ],
  ["comments only", "# nothing\n", "in.yaml: holds no Kubernetes objects"],
  ["broken YAML", "a: b: c\n", "in.yaml:1: is not valid YAML: bad indentation of a mapping entry"],
  ["a tab", "a:\n\t- b\n", "in.yaml:2: is not valid YAML: "],
  ["a key twice", "a: 1\na: 2\n", "in.yaml:2: is not valid YAML: duplicated mapping key"],
  ["binary", "\u0000\u0001\u0002", "in.yaml:1: is not text, so it is no manifest"],
  [
    "text",
    "hello",
    "in.yaml:1: is not a Kubernetes object; it needs apiVersion, kind and metadata",
  ],
  ["a list", "- a\n", "in.yaml:1: is not a Kubernetes object"],
  ["no kind", "metadata: {name: a}\n", "in.yaml:1: has no kind"],
  ["no apiVersion", "kind: Pod\n", "in.yaml:1: Pod: has no apiVersion"],
  [
    "an old apiVersion",
    POD.replace("v1", "extensions/v1beta1").replace("Pod", "Deployment"),
    "in.yaml:1: Deployment default/a: apiVersion extensions/v1beta1 is not served any more; write apps/v1",
  ],
  ["a YAML bomb", bomb(), "in.yaml: has more than 1000000 values when its aliases are written out"],
  ["deep nesting", "[".repeat(5000), "in.yaml:1: is not valid YAML: nesting exceeded"],
  [
    "a Helm template",
    "name: {{ .Values.name }}\n",
    "in.yaml:1: is a Helm template; render it first: helm template",
  ],
  [
    "a Helm template that is YAML",
    POD.replace("name: a", 'name: "{{ .Release.Name }}"'),
    "in.yaml:3: is a Helm template",
  ],
  [
    "a kustomization",
    "kind: Kustomization\nresources: [a.yaml]\n",
    "in.yaml:1: is a kustomization; build it first: kubectl kustomize",
  ],
  [
    "an object twice",
    `${POD}---\n${POD}`,
    "in.yaml:6: Pod default/a: is here a second time (first on line 1)",
  ],
  [
    "no name",
    POD.replace("{name: a}", "{}"),
    "in.yaml:3: Pod: metadata.name is required and missing",
  ],
  [
    "a bad name",
    POD.replace("name: a", "name: A_b"),
    "in.yaml:3: Pod default/A_b: metadata.name must be lower-case letters",
  ],
  [
    "a label that is a number",
    POD.replace("name: a", "name: a, labels: {v: 1}"),
    'in.yaml:3: Pod default/a: metadata.labels.v must be text, not 1; write "1"',
  ],
  ...(
    [
      ["an option without name", "{options: [{value: '1'}]}", "options[0].name is required"],
      ["an option of no name", "{options: [{name: ''}]}", 'options[0].name must be a name, not ""'],
      [
        "too many name servers",
        "{nameservers: [10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4]}",
        "nameservers must have at most 3 items, not 4",
      ],
      ["a search path that is no name", "{searches: [bad_..x]}", "searches[0] must be lower-case"],
      [
        "too many search paths",
        `{searches: [${Array(33).fill("a").join(", ")}]}`,
        "searches must have at most 32 items, not 33",
      ],
      [
        "search paths that are too long",
        `{searches: [${Array(9)
          .fill(`${"a".repeat(60)}.`.repeat(4).slice(0, -1))
          .join(", ")}]}`,
        "searches must have at most 2048 characters with the blanks between, not 2195",
      ],
    ] as const
  ).map(([what, dnsConfig, message]): [string, string, string] => [
    `a dnsConfig with ${what}`,
    POD.replace("spec: {", `spec: {dnsConfig: ${dnsConfig}, `),
    `Pod default/a: spec.dnsConfig.${message}`,
  ]),
  [
    "no name server where dnsPolicy is None",
    POD.replace("spec: {", "spec: {dnsPolicy: None, dnsConfig: {searches: [a]}, "),
    "Pod default/a: spec.dnsConfig.nameservers must have at least one address where dnsPolicy is None",
  ],
  [
    "an ExternalName that is no name",
    "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {type: ExternalName, externalName: bad_name!}\n",
    "Service default/a: spec.externalName must be lower-case letters, digits, hyphens and dots",
  ],
  [
    "an ExternalName that is empty",
    "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {type: ExternalName, externalName: ''}\n",
    "Service default/a: spec.externalName is required for type ExternalName and missing",
  ],
  [
    "a bad label key",
    POD.replace("name: a", 'name: a, labels: {"-x": y}'),
    "metadata.labels.-x is no label key",
  ],
  [
    "no containers",
    POD.replace("containers: [{name: c}]", "containers: []"),
    "in.yaml:4: Pod default/a: spec.containers must have at least 1 item",
  ],
  [
    "port 70000",
    deployment("80", "70000"),
    "in.yaml:16: Deployment default/web: spec.template.spec.containers[0].ports[0].containerPort must be a whole number between 1 and 65535, not 70000",
  ],
  [
    "a port in words",
    deployment("80", "http"),
    'in.yaml:16: Deployment default/web: spec.template.spec.containers[0].ports[0].containerPort must be a whole number between 1 and 65535, not "http"',
  ],
  [
    "replicas in words",
    deployment("2", "many"),
    'in.yaml:6: Deployment default/web: spec.replicas must be a whole number of at least 0, not "many"',
  ],
  [
    "a selector that does not fit",
    deployment("labels: {app: web}", "labels: {app: wen}"),
    "in.yaml:11: Deployment default/web: spec.template.metadata.labels do not match selector app=web; make them equal",
  ],
  [
    "no selector",
    deployment("matchLabels: {app: web}", "matchLabels: {}"),
    "in.yaml:8: Deployment default/web: spec.selector must not be empty",
  ],
  [
    "two containers of one name",
    deployment("- name: nginx", "- name: nginx\n      - name: nginx"),
    'spec.template.spec.containers[1].name is "nginx" a second time',
  ],
  [
    "a Service without ports",
    service("{selector: {a: b}}"),
    "in.yaml:4: Service default/web: spec.ports must have at least one port",
  ],
  [
    "a Service port without a name",
    service("{ports: [{port: 1}, {port: 2}]}"),
    "spec.ports[0].name is required where there are several ports",
  ],
  [
    "a bad address",
    service("{clusterIP: 10.0.0.300, ports: [{port: 1}]}"),
    'spec.clusterIP must be an IP address such as 10.0.0.1 or fd00::1, not "10.0.0.300"',
  ],
  [
    "an unknown type",
    service("{type: Cluster, ports: [{port: 1}]}"),
    'spec.type must be ClusterIP, NodePort, LoadBalancer or ExternalName, not "Cluster"',
  ],
  [
    "a bad CIDR",
    policy("{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/33}}]}]}"),
    'spec.ingress[0].from[0].ipBlock.cidr must be a range in CIDR notation such as 10.0.0.0/8, not "10.0.0.0/33"',
  ],
  [
    "an empty set of values",
    policy("{podSelector: {matchExpressions: [{key: a, operator: In}]}}"),
    "spec.podSelector.matchExpressions[0].values must have at least one value for operator In",
  ],
  [
    "an item of a List",
    "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: x}\n",
    "in.yaml:4: Pod default/x: spec is required and missing",
  ],
])("says in one line what is wrong with %s", (_, text, message) => {
  let error: unknown;
  try {
    parseManifests(text, "in.yaml");
  } catch (e) {
    error = e;
  }
  expect(error).toBeInstanceOf(InputError);
  expect((error as Error).message).toContain(message);
  expect((error as Error).message).not.toContain("\n");
});

describe("reads", () => {
  test.each([
    ["documents", `${POD}---\n# nothing\n---\n${POD.replace("name: a", "name: b")}`, ["a", "b"]],
    ["JSON", '{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"x"}}', ["x"]],
    [
      "a List",
      `apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Namespace, metadata: {name: x}}\n`,
      ["x"],
    ],
    [
      "a PodList",
      '{"apiVersion":"v1","kind":"PodList","items":[{"metadata":{"name":"x"},"spec":{"containers":[{"name":"c"}]}}]}',
      ["x"],
    ],
    [
      "anchors and merge keys",
      "apiVersion: v1\nkind: Namespace\nmetadata: {<<: &m {labels: {a: b}}, name: x}\n",
      ["x"],
    ],
    [
      "nulls as absent",
      POD.replace("name: a", "name: a, creationTimestamp: null, labels: null"),
      ["a"],
    ],
    [
      "search paths and a target that say they are whole",
      `${POD.replace("spec: {", "spec: {dnsConfig: {searches: [., _tcp.x_y.test.], options: [{name: a}]}, ")}---
apiVersion: v1\nkind: Service\nmetadata: {name: b}\nspec: {type: ExternalName, externalName: db.test.}\n`,
      ["a", "b"],
    ],
    ["a byte order mark", `\ufeff${POD}`, ["a"]],
    [
      "braces that are no template",
      POD.replace("{name: c}", '{name: c, args: ["{{ .Name }}"]}'),
      ["a"],
    ],
  ])("%s", (_, text, names) => {
    expect(parseManifests(text, "in.yaml").objects.map((o) => o.metadata.name)).toEqual(names);
  });

  test("leaves out and counts what is not simulated, by kind and API group", () => {
    const text = [
      "{apiVersion: v1, kind: LimitRange, metadata: {name: a}}",
      "{apiVersion: v1, kind: LimitRange, metadata: {name: b}}",
      "{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: c}}",
      "{apiVersion: example.com/v1, kind: Policy, metadata: {name: d}}",
    ].join("\n---\n");
    expect(parseManifests(text, "in.yaml")).toEqual({
      objects: [],
      ignored: [
        { kind: "LimitRange", count: 2 },
        { kind: "Policy", count: 1 },
        { kind: "Service.serving.knative.dev", count: 1 },
      ],
    });
    const known = parseManifests(text, "in.yaml", { alsoKinds: { Policy: "example.com" } });
    expect(known.objects.map((o) => o.kind)).toEqual(["Policy"]);
  });
});

describe("whatever it is given", () => {
  const fragment = fc.constantFrom(
    ...[
      "apiVersion: v1\n",
      "kind: Pod\n",
      "kind: Service\n",
      "kind: List\n",
      "metadata:\n",
      "  name: a\n",
    ],
    ...[
      "spec:\n",
      "  containers:\n",
      "  - name: c\n",
      "    ports: [{containerPort: 80}]\n",
      "items:\n",
    ],
    ...[
      "- ",
      "{",
      "}",
      "[",
      "]",
      "&a ",
      "*a",
      "---\n",
      "'",
      '"',
      "null\n",
      "!!int x\n",
      "? ",
      ": ",
      "\t",
      "|\n",
    ],
  );
  const anything = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.array(fragment, { maxLength: 40 }).map((all) => all.join("")),
    fc.json(),
  );

  test("it returns objects or throws an InputError of one line", () => {
    fc.assert(
      fc.property(anything, (text) => {
        try {
          for (const object of parseManifests(text, "in.yaml").objects) {
            expect(object.metadata.name).toBeTypeOf("string");
          }
        } catch (error) {
          expect(error).toBeInstanceOf(InputError);
          expect((error as Error).message).not.toContain("\n");
        }
      }),
      { numRuns: 500 },
    );
  });

  test("a Pod with one field of any kind is read or refused", () => {
    const path = fc.constantFrom("metadata", "spec", "status");
    const field = fc.constantFrom(
      "name",
      "labels",
      "containers",
      "nodeName",
      "podIP",
      "tolerations",
    );
    fc.assert(
      fc.property(path, field, fc.jsonValue(), (part, name, value) => {
        const pod: Record<string, Record<string, unknown>> = {
          metadata: { name: "a" },
          spec: { containers: [{ name: "c" }] },
          status: {},
        };
        (pod[part] as Record<string, unknown>)[name] = value;
        const text = JSON.stringify({ apiVersion: "v1", kind: "Pod", ...pod });
        try {
          parseManifests(text, "in.json");
        } catch (error) {
          expect(error).toBeInstanceOf(InputError);
        }
      }),
      { numRuns: 500 },
    );
  });
});
