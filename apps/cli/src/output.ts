import process from "node:process";
import type { KubeObject } from "@cnilab/core";
import { stringify } from "yaml";

/** Writes an answer; stdout carries nothing else. */
export function print(text: string): void {
  process.stdout.write(text.endsWith("\n") || text === "" ? text : `${text}\n`);
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, undefined, 2));
}

/** As kubectl: keys sorted, and quoted what YAML 1.1 would take for a time or a boolean. */
function printYaml(value: unknown): void {
  print(
    stringify(value, {
      version: "1.1",
      sortMapEntries: true,
      indentSeq: false,
      lineWidth: 0,
      aliasDuplicateObjects: false,
    }),
  );
}

/** Objects as kubectl hands them out: one alone, several in a List. */
export function printObjects(
  objects: readonly KubeObject[],
  format: "json" | "yaml",
  single: boolean,
): void {
  const value =
    single && objects.length === 1
      ? objects[0]
      : { apiVersion: "v1", kind: "List", metadata: { resourceVersion: "" }, items: objects };
  if (format === "json") printJson(value);
  else printYaml(value);
}

/** Whether people see colours: on a terminal, unless NO_COLOR says otherwise. */
export function wantsColour(): boolean {
  return process.stdout.isTTY === true && !process.env["NO_COLOR"];
}
