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
  expect(alignTabs(lines)).toBe(expected.map((line) => `${line}\n`).join(""));
});
