import { existsSync, readFileSync } from "node:fs";
import type { KubeObject } from "@cnilab/core";
import { describe, expect, it } from "vitest";
import { kubectlRows } from "../src/index.ts";

const RECORDING = new URL("../../../../shared/vectors/api/kubectl.ndjson", import.meta.url);
const there = existsSync(RECORDING);

interface RecordedRow {
  readonly name: string;
  readonly session: string;
  readonly cells: readonly string[];
  readonly object: KubeObject;
}

/** Rows of tables that a kube-apiserver 1.35.4 answered, with the objects they were made of. */
function recordedRows(): RecordedRow[] {
  const objects = new Map<string, KubeObject>();
  const rows: Omit<RecordedRow & { key: string }, "object">[] = [];
  const key = (o: KubeObject) => `${o.metadata.uid} ${o.metadata.resourceVersion}`;
  const collect = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    const object = value as KubeObject & { spec?: unknown; endpoints?: unknown; status?: unknown };
    const full = object.spec ?? object.endpoints ?? object.status;
    if (object.metadata?.uid !== undefined && full !== undefined) objects.set(key(object), object);
    for (const part of Object.values(value)) collect(part);
  };
  for (const line of readFileSync(RECORDING, "utf8").trim().split("\n")) {
    const { session, url, resBody } = JSON.parse(line);
    collect(resBody);
    if (resBody?.kind !== "Table") continue;
    for (const { cells, object } of resBody.rows ?? []) {
      const name = `${url.split("?")[0]} ${object.metadata.name}`;
      rows.push({ name, session, cells: cells.map(String), key: key(object) });
    }
  }
  return rows.flatMap(({ key: k, ...row }) => {
    const object = objects.get(k);
    return object === undefined ? [] : [{ ...row, object }];
  });
}

/** Lists leave out the kind of their items. */
function withKind(object: KubeObject, path: string): KubeObject {
  const kinds: Readonly<Record<string, string>> = {
    pods: "Pod",
    services: "Service",
    nodes: "Node",
    namespaces: "Namespace",
    deployments: "Deployment",
    endpointslices: "EndpointSlice",
    networkpolicies: "NetworkPolicy",
  };
  const resource = path
    .split(" ")[0]
    ?.split("/")
    .findLast((part) => kinds[part] !== undefined);
  return { ...object, kind: object.kind ?? kinds[resource ?? ""] ?? "" };
}

describe(`tables have the cells that kube-apiserver gave${there ? "" : " (needs ../shared/vectors/api)"}`, () => {
  const rows = there ? recordedRows() : [];
  it.skipIf(!there).each(rows)("$session: $name", ({ name, cells, object }) => {
    const created = Date.parse(object.metadata.creationTimestamp ?? "");
    const table = kubectlRows([withKind(object, name)], { now: created, wide: true });
    const at = table.head.indexOf("AGE");
    const expected = cells.map((cell, i) => (i === at ? "0s" : cell));
    expect(table.rows[0]).toEqual(expected);
  });

  it.skipIf(!there)("there are enough of them", () => {
    expect(rows.length).toBeGreaterThan(15);
  });
});
