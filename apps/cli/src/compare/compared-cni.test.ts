import { expect, test } from "vitest";
import type { ProgramIo } from "../program-io.ts";
import { readComparedCnis } from "./compared-cni.ts";

const io = { cwd: () => process.cwd() } as ProgramIo;

test.each<[string, string[], readonly (readonly [string, Record<string, unknown>])[]]>([
  [
    "flannel,none",
    [],
    [
      ["flannel", { backend: "vxlan" }],
      ["none", {}],
    ],
  ],
  [
    "flannel:backend=host-gw,calico",
    [],
    [
      ["flannel", { backend: "host-gw" }],
      ["calico", {}],
    ],
  ],
  [
    "flannel,flannel:backend=ipip",
    [],
    [
      ["flannel", { backend: "vxlan" }],
      ["flannel:backend=ipip", { backend: "ipip" }],
    ],
  ],
  [
    "flannel,flannel:backend=vxlan,directRouting=true",
    [],
    [
      ["flannel", {}],
      ["flannel#2", { backend: "vxlan", directRouting: true }],
    ],
  ],
  [
    " flannel:directRouting , none",
    [],
    [
      ["flannel", { directRouting: true }],
      ["none", {}],
    ],
  ],
  [
    "flannel,flannel:backend=udp,none",
    ["backend=ipip"],
    [
      ["flannel", { backend: "ipip" }],
      ["flannel:backend=udp", { backend: "udp" }],
      ["none", {}],
    ],
  ],
])("--cni %s --cni-set %j", async (list, cniSet, expected) => {
  const { cnis, warnings } = await readComparedCnis(io, list, cniSet, []);
  expect(warnings).toEqual([]);
  expect(cnis.map(({ label }) => label)).toEqual(expected.map(([label]) => label));
  expected.forEach(([, options], i) => {
    expect(cnis[i]?.options).toMatchObject(options);
  });
});
