import { expect, test } from "vitest";
import { saidByMachines } from "./outcomes.ts";

test.each<[what: string, say: (seed: number) => number, asked: number]>([
  ["all say the same", () => 0, 64],
  ["one of them says something else", (seed) => (seed === 64 ? 1 : 0), 256],
  ["there are few outcomes", (seed) => seed % 5, 256],
  ["the last new outcome comes at 200", (seed) => (seed === 2 || seed === 200 ? seed : 0), 400],
  ["one comes late, but who said so before?", (seed) => (seed === 65 ? 1 : 0), 64],
  ["each says something else", (seed) => seed, 1024],
])("machines are asked until the later half says nothing new: %s", (_, say, asked) => {
  expect([...saidByMachines(say)]).toEqual(Array.from({ length: asked }, (__, i) => say(i + 1)));
});
