import process from "node:process";
import { expect, test } from "vitest";
import { createProgram } from "./program.ts";

test("a command that is named comes alone and under its name, anything else brings all", async () => {
  const namesFor = async (...words: string[]) =>
    (await createProgram(words, process)).commands.map((command) => command.name());
  const all = await namesFor("--help");
  expect(all).toContain("trace");
  for (const name of all) {
    const expected = ["completion", "help"].includes(name) ? all : [name];
    expect(await namesFor(name), name).toEqual(expected);
  }
  expect(await namesFor("trce")).toEqual(all);
  const [dns] = (await createProgram(["dns", "serve"], process)).commands;
  expect(dns?.commands.map((command) => command.name())).toEqual(["serve"]);
});
