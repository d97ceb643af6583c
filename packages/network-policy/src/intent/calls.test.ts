import { describe, expect, test } from "vitest";
import { deployment, objectsOf, service } from "../../test/manifests.ts";
import { inferIntent } from "./calls.ts";

const SERVICES = `${deployment("db")}${service("db", 5432)}${deployment("api")}${service("api", 80, 8080)}
---
apiVersion: v1
kind: Namespace
metadata: {name: other}
---
apiVersion: v1
kind: Service
metadata: {name: cache, namespace: other}
spec: {selector: {app: cache}, ports: [{port: 6379}]}
`;

function callsOf(container: string): { calls: string[]; dangling: string[] } {
  const { calls, dangling } = inferIntent(objectsOf(`${SERVICES}${deployment("web", container)}`));
  return {
    calls: calls.map(
      ({ service: { metadata }, port, said }) =>
        `${metadata.namespace}/${metadata.name}:${port.port} ${said}`,
    ),
    dangling: dangling.map(({ target }) => target),
  };
}

const env = (...pairs: readonly (readonly [string, string])[]) =>
  `{name: c, env: [${pairs.map(([name, value]) => `{name: ${name}, value: "${value}"}`).join(", ")}]}`;

describe("calls are inferred from", () => {
  test.each<[string, string, string[]]>([
    ["an address", env(["DB", "db:5432"]), ["default/db:5432 env DB of container c"]],
    ["a URL", env(["API", "http://api/v1?x=y:9"]), ["default/api:80 env API of container c"]],
    [
      "a URL with a user",
      env(["DSN", "postgres://me:secret@db/app"]),
      ["default/db:5432 env DSN of container c"],
    ],
    [
      "a name with a namespace",
      env(["C", "cache.other:6379"]),
      ["other/cache:6379 env C of container c"],
    ],
    [
      "a full name",
      env(["C", "cache.other.svc.cluster.local:6379"]),
      ["other/cache:6379 env C of container c"],
    ],
    [
      "a list",
      env(["ALL", "db:5432,api:80"]),
      ["default/db:5432 env ALL of container c", "default/api:80 env ALL of container c"],
    ],
    [
      "host and port apart",
      env(["DB_HOST", "db"], ["DB_PORT", "5432"]),
      ["default/db:5432 env DB_HOST of container c"],
    ],
    [
      "a host alone, of a Service with one port",
      env(["DB_HOST", "db"]),
      ["default/db:5432 env DB_HOST of container c"],
    ],
    [
      "arguments",
      '{name: c, args: ["--upstream=api:80"]}',
      ["default/api:80 arguments of container c"],
    ],
    [
      "a command",
      '{name: c, command: [sh, -c, "curl http://api/"]}',
      ["default/api:80 command of container c"],
    ],
  ])("%s", (_, container, expected) => {
    expect(callsOf(container).calls).toEqual(expected);
  });

  test.each([
    ["a port that the Service does not have", env(["DB", "db:1"]), ["db:1"]],
    ["a Service that is not there", env(["X", "mail:25"]), ["mail:25"]],
    ["hosts of the internet", env(["X", "api.example.com:443"], ["Y", "https://example.org/"]), []],
    ["times and addresses", env(["T", "12:30"], ["A", "10.0.0.1:80"], ["L", "localhost:80"]), []],
  ])("not from %s", (_, container, dangling) => {
    expect(callsOf(container)).toEqual({ calls: [], dangling });
  });
});
