import { expect, test } from "vitest";
import { LimitedHeap } from "./limited-heap.ts";

test("what needs more than there is, ends alone", async () => {
  const heap = new LimitedHeap(64);
  const many = heap.run(["run", "--nodes", "2000"]);
  const few = heap.run(["--version"]);
  await expect(many).rejects.toThrow(/memory limit/);
  expect((await few).status).toBe(0);
  await heap.close();
});
