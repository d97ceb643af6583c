import { expect, test } from "vitest";
import { Listeners } from "./listeners.ts";

test("all hear, in the order in which they came", () => {
  const listeners = new Listeners<number>();
  const heard: string[] = [];
  listeners.add((n) => heard.push(`a${n}`));
  const end = listeners.add((n) => heard.push(`b${n}`));
  listeners.tell(1);
  end();
  listeners.tell(2);
  expect(heard).toEqual(["a1", "b1", "a2"]);
  expect(listeners.size).toBe(1);
});

test("who comes while all are told waits for the next; who goes hears no more", () => {
  const listeners = new Listeners<number>();
  const heard: string[] = [];
  let end = () => {};
  listeners.add((n) => {
    heard.push(`a${n}`);
    end();
    if (n === 1) listeners.add((m) => heard.push(`c${m}`));
  });
  end = listeners.add((n) => heard.push(`b${n}`));
  listeners.tell(1);
  listeners.tell(2);
  expect(heard).toEqual(["a1", "a2", "c2"]);
});
