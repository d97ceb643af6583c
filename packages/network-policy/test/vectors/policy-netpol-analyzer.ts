/// <reference types="node" />
import { existsSync, globSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type KubeObject, withNamespaceLabel } from "@cnilab/core";
import { formatIp, parseIp } from "@cnilab/net";
import { connectionLines, exposureLines } from "@cnilab/network-policy";
import { loadAll } from "js-yaml";
import type { VectorCase } from "../../../../tools/vector-suite.ts";

/** Folders of manifests with what netpol-analyzer says of them; see README.md in the folder of the vectors. */
export async function* runSuite(folder: string): AsyncIterable<VectorCase> {
  for (const name of readdirSync(folder).sort()) {
    const dir = join(folder, name);
    if (existsSync(join(dir, "manifests"))) yield runCase(name, dir);
  }
}

function runCase(name: string, dir: string): VectorCase {
  try {
    const objects = readObjects(join(dir, "manifests"));
    const wrong: string[] = [];
    const list = connectionLines(objects);
    for (const [file, found] of [
      ["expected.list.txt", list],
      ["expected.exposure.txt", [...list, ...exposureLines(objects)]],
    ] as const) {
      const path = join(dir, file);
      if (!existsSync(path)) continue;
      wrong.push(...differences(readFileSync(path, "utf8").split("\n"), found));
    }
    if (wrong.length === 0) return { name, outcome: "passed" };
    return { name, outcome: "failed", detail: wrong.slice(0, 20).join("\n") };
  } catch (error) {
    return { name, outcome: "failed", detail: (error as Error).stack ?? String(error) };
  }
}

function differences(expected: readonly string[], found: readonly string[]): readonly string[] {
  const wanted = normal(expected);
  const have = normal(found);
  return [
    ...wanted.filter((line) => !have.includes(line)).map((line) => `- ${line}`),
    ...have.filter((line) => !wanted.includes(line)).map((line) => `+ ${line}`),
  ];
}

const EXTERNAL = /(\S+)-(\S+)\[External\]/;

/** Outside ranges with the same connections as one set: how a set is cut into lines is the tool's choice. */
function normal(lines: readonly string[]): readonly string[] {
  const others: string[] = [];
  const ranges = new Map<string, [number, number][]>();
  for (const padded of lines) {
    const line = padded.replace(/ *\t/g, " \t");
    const match = EXTERNAL.exec(line);
    if (match === null) {
      if (line.trim() !== "") others.push(line);
      continue;
    }
    const [text, first = "", last = ""] = match;
    const key = line.replace(text, "OUTSIDE");
    const list = ranges.get(key) ?? [];
    list.push([parseIp(first) as number, parseIp(last) as number]);
    ranges.set(key, list);
  }
  for (const [key, list] of ranges) {
    const joined: [number, number][] = [];
    for (const [first, last] of list.sort(([x], [y]) => x - y)) {
      const before = joined.at(-1);
      if (before !== undefined && before[1] >= first - 1) before[1] = Math.max(before[1], last);
      else joined.push([first, last]);
    }
    const text = joined.map(([first, last]) => `${formatIp(first)}-${formatIp(last)}`).join(" ");
    others.push(key.replace("OUTSIDE", text));
  }
  return others.sort();
}

function readObjects(dir: string): readonly KubeObject[] {
  return globSync("**/*.{yaml,yml,json}", { cwd: dir })
    .sort()
    .flatMap((file) => loadAll(readFileSync(join(dir, file), "utf8")))
    .flatMap(flatten)
    .map(withNamespaceLabel);
}

function flatten(document: unknown): readonly KubeObject[] {
  if (document === null || typeof document !== "object" || !("kind" in document)) return [];
  const { apiVersion, kind, items } = document as {
    readonly apiVersion: string;
    readonly kind: string;
    readonly items?: readonly object[];
  };
  if (items === undefined) return [document as KubeObject];
  const itemKind = kind.replace(/List$/, "");
  return items.flatMap((item) =>
    flatten(itemKind === "" ? item : { apiVersion, kind: itemKind, ...item }),
  );
}
