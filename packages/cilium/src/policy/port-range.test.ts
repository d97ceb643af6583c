import fc from "fast-check";
import { expect, test } from "vitest";
import { maskedPorts, prefixLengthOf } from "./port-range.ts";

test.each([
  [8000, 8080, "8000/10 8080/16 8064/12"],
  [0, 65535, "0/0"],
  [0, 0, "0/0"],
  [80, 80, "80/16"],
  [80, 79, "80/16"],
])("%d-%d is %s", (start, end, text) => {
  const ports = maskedPorts(start, end);
  expect(ports.map(({ port, mask }) => `${port}/${prefixLengthOf(mask)}`).join(" ")).toBe(text);
});

test("masked ports hold the range, each port once, and nothing else", () => {
  const port = fc.integer({ min: 0, max: 0xffff });
  fc.assert(
    fc.property(port, port, (x, y) => {
      const [start, end] = [Math.min(x, y), Math.max(x, y)];
      fc.pre(end > start);
      const ranges = maskedPorts(start, end)
        .map(({ port: first, mask }) => ({ first, last: first | (~mask & 0xffff) }))
        .sort((a, b) => a.first - b.first);
      let next = start;
      for (const { first, last } of ranges) {
        expect(first).toBe(next);
        next = last + 1;
      }
      expect(next).toBe(end + 1);
    }),
  );
});
