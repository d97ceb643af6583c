import type { KubeObject } from "@cnilab/core";
import { stringify } from "yaml";
import type { ProgramIo } from "./program-io.ts";

/** Writes an answer; stdout carries nothing else. */
export function print(io: ProgramIo, text: string): void {
  io.stdout.write(text.endsWith("\n") || text === "" ? text : `${text}\n`);
}

export function printJson(io: ProgramIo, value: unknown): void {
  print(io, JSON.stringify(value, undefined, 2));
}

/** As kubectl: keys sorted, and quoted what YAML 1.1 would take for a time or a boolean. */
export function printYaml(io: ProgramIo, value: unknown): void {
  print(
    io,
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
  io: ProgramIo,
  objects: readonly KubeObject[],
  format: "json" | "yaml",
  single: boolean,
): void {
  const value =
    single && objects.length === 1
      ? objects[0]
      : { apiVersion: "v1", kind: "List", metadata: { resourceVersion: "" }, items: objects };
  if (format === "json") printJson(io, value);
  else printYaml(io, value);
}

/** Whether people see colours: on a terminal, unless NO_COLOR says otherwise. */
export function wantsColour(io: ProgramIo): boolean {
  return io.stdout.isTTY === true && !io.env["NO_COLOR"];
}
