import { expect, test } from "vitest";
import { deployment, networkPolicy, objectsOf, service } from "../../test/manifests.ts";
import { peerName, permittedConnections } from "../connections/connections.ts";
import { KUBERNETES_POLICIES } from "../policy/policy-reader.ts";
import { inferIntent } from "./calls.ts";
import { checkCalls } from "./check-calls.ts";
import { suggestPolicies } from "./suggest.ts";

const APP = `${deployment("web", '{name: c, env: [{name: DB, value: "db:5432"}]}')}${service("web", 80, 8080, ", type: LoadBalancer")}
${deployment("db", "{name: c, ports: [{name: pg, containerPort: 5432}]}")}${service("db", 5432, "pg")}${deployment("idle")}`;

test("suggested policies let the calls through, and nothing else between workloads", () => {
  const objects = objectsOf(APP);
  const intent = inferIntent(objects);
  const policies = suggestPolicies(intent);
  const { calls, lookups } = checkCalls(intent, KUBERNETES_POLICIES.read(policies));
  expect(calls.map(({ works }) => works)).toEqual([true]);
  expect(lookups.map(({ verdict }) => verdict.egress.allowed)).toEqual([true]);
  const permitted = permittedConnections([...objects, ...policies]).map(
    ({ source, destination, ports }) =>
      `${peerName(source)} => ${peerName(destination)} : ${ports}`,
  );
  expect(permitted).toEqual([
    "default/web[Deployment] => default/db[Deployment] : TCP 5432",
    "0.0.0.0-255.255.255.255[External] => default/web[Deployment] : TCP 8080",
  ]);
});

test.each([
  [
    "its own egress",
    "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress]}",
    false,
    false,
  ],
  ["the other's ingress", "{podSelector: {matchLabels: {app: db}}}", true, true],
  ["nothing", "{podSelector: {matchLabels: {app: idle}}}", true, true],
])("a call is stopped by %s", (who, spec, egress, lookup) => {
  const objects = objectsOf(`${APP}${networkPolicy("p", spec)}`);
  const { calls, lookups } = checkCalls(inferIntent(objects), KUBERNETES_POLICIES.read(objects));
  expect(calls[0]?.works).toBe(who === "nothing");
  expect(calls[0]?.backends[0]?.verdict.egress.allowed).toBe(egress);
  expect(lookups[0]?.verdict.egress.allowed).toBe(lookup);
});
