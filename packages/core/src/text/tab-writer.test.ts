import { expect, test } from "vitest";
import { alignTabs } from "./tab-writer.ts";

// What a program with Go's text/tabwriter and the settings of cilium-dbg printed of these lines.
test.each([
  [
    "a last cell without a tab is of no column",
    ["SERVICE ADDRESS\tBACKEND ADDRESS", "10.96.0.1:443/TCP (0)\t0.0.0.0:0 (1) \t", "\tx\t"],
    [
      "SERVICE ADDRESS         BACKEND ADDRESS",
      "10.96.0.1:443/TCP (0)   0.0.0.0:0 (1)    ",
      "                        x                ",
    ],
  ],
  [
    "columns are as wide as their longest cell and three",
    ["NODE ID\tIP ADDRESSES\tSPI", "0xff\t192.168.0.11\t0", "0x1\tfd00::1\t0"],
    ["NODE ID   IP ADDRESSES   SPI", "0xff      192.168.0.11   0", "0x1       fd00::1        0"],
  ],
  [
    "a line without the column ends it",
    [
      "POLICY\tLABELS\tPORT\t",
      "Allow\treserved:host\t80/TCP\t",
      "\t\tk8s:a=b\t",
      "one cell",
      "Deny\tx\ty\t",
    ],
    [
      "POLICY   LABELS          PORT      ",
      "Allow    reserved:host   80/TCP    ",
      "                         k8s:a=b   ",
      "one cell",
      "Deny   x    y    ",
    ],
  ],
  ["nothing is nothing", [], []],
])("%s", (_what, lines, expected) => {
  expect(alignTabs(lines, { minWidth: 5, padding: 3 })).toBe(
    expected.map((line) => `${line}\n`).join(""),
  );
});

// As Go 1.26's text/tabwriter with a padding of 2.
test.each([
  [
    "columns end where a line has no cell in them",
    ["a\tb\tc", "aa\tb", "none", "a\tb"],
    ["a   b  c", "aa  b", "none", "a  b"],
  ],
  ["an empty cell is as wide as the padding", ["\t\tx", "y"], ["    x", "y"]],
  [
    "what follows the last tab is in no column",
    ["long text", "a\tlong text", "bbb\tx"],
    ["long text", "a    long text", "bbb  x"],
  ],
  ["a cell at the end of its line is padded", ["a\t", "bb\tc"], ["a   ", "bb  c"]],
])("padding 2: %s", (_, lines, expected) => {
  expect(alignTabs(lines, { minWidth: 0, padding: 2 })).toBe(`${expected.join("\n")}\n`);
});
