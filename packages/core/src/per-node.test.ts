import { expect, test } from "vitest";
import { perNode } from "./per-node.ts";
import type { DependencyContainer } from "./tokens.ts";

/** Containers are only told apart here. */
const container = (): DependencyContainer => ({}) as DependencyContainer;

test("each node has one, made from its own container when it is first asked for", () => {
  const askedFor: DependencyContainer[] = [];
  const { useFactory } = perNode((node) => {
    askedFor.push(node);
    return { number: askedFor.length };
  });
  const [first, second] = [container(), container()];
  expect(askedFor).toEqual([]);
  const made = useFactory(first);
  expect(useFactory(second)).toEqual({ number: 2 });
  expect(useFactory(first)).toBe(made);
  expect(askedFor[0]).toBe(first);
  expect(askedFor[1]).toBe(second);
  expect(askedFor).toHaveLength(2);
});

test("what is made may be undefined, and is made once all the same", () => {
  let made = 0;
  const { useFactory } = perNode(() => {
    made++;
    return undefined;
  });
  const node = container();
  useFactory(node);
  useFactory(node);
  expect(made).toBe(1);
});

test("what failed is tried again", () => {
  let tries = 0;
  const { useFactory } = perNode(() => {
    if (++tries === 1) throw new Error("not yet");
    return "made";
  });
  const node = container();
  expect(() => useFactory(node)).toThrow("not yet");
  expect(useFactory(node)).toBe("made");
});
