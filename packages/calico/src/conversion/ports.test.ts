import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatPort, type ParsedPort, parsePort, simplifyPorts } from "./ports.ts";

const port = fc.oneof(
  fc
    .tuple(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 5 }))
    .map(([first, more]): ParsedPort => ({ first, last: first + more })),
  fc.constantFrom<ParsedPort>({ name: "http" }, { name: "dns" }),
);

describe("parsePort", () => {
  test.each([
    [80, { first: 80, last: 80 }],
    ["80", { first: 80, last: 80 }],
    ["80:90", { first: 80, last: 90 }],
    ["http", { name: "http" }],
    ["80-90", { name: "80-90" }],
  ])("reads %s", (text, want) => {
    expect(parsePort(text)).toEqual(want);
  });

  test.each([
    ["65536", "invalid port format (65536)"],
    ["70000:1", "invalid minimum port number in range (70000:1)"],
    ["1:70000", "invalid maximum port number in range (1:70000)"],
    ["90:80", "minimum port number (90) is greater than maximum port number (80) in port range"],
    ["http:80", "invalid name for named port (http:80)"],
    ["", "invalid name for named port ()"],
  ])("refuses %s", (text, message) => {
    expect(() => parsePort(text)).toThrow(new RangeError(message));
  });
});

describe("simplifyPorts", () => {
  test("covers the same ports by ranges that do not touch", () => {
    fc.assert(
      fc.property(fc.array(port), (ports) => {
        const simple = simplifyPorts(ports);
        expect(numbersOf(simple)).toEqual(numbersOf(ports));
        expect(simple.filter((p) => "name" in p)).toEqual(ports.filter((p) => "name" in p));
        const ranges = simple.flatMap((p) => ("name" in p ? [] : [p]));
        // What has fewer than two numbers comes back as it is.
        for (const [i, { first }] of ranges.entries()) {
          const before = ranges[i - 1];
          if (before !== undefined) expect(first).toBeGreaterThan(before.last + 1);
        }
      }),
    );
  });

  test.each([
    [
      [81, 80, 82, "80:90", "z", "a"],
      ["z", "a", "80:90"],
    ],
    [
      ["z", 80],
      ["z", 80],
    ],
    [
      [443, 80, 80],
      [80, 443],
    ],
  ])("%j become %j", (ports, want) => {
    expect(simplifyPorts(ports.map(parsePort)).map(formatPort)).toEqual(want);
  });
});

function numbersOf(ports: readonly ParsedPort[]): readonly number[] {
  const numbers = new Set<number>();
  for (const p of ports) if (!("name" in p)) for (let n = p.first; n <= p.last; n++) numbers.add(n);
  return [...numbers].sort((x, y) => x - y);
}
