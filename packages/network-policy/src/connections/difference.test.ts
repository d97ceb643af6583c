import { expect, test } from "vitest";
import { deployment, networkPolicy, objectsOf } from "../../test/manifests.ts";
import { connectionChanges } from "./difference.ts";

const APP = `${deployment("a")}${deployment("b")}`;
const ONLY_80 = networkPolicy(
  "p",
  "{podSelector: {matchLabels: {app: b}}, ingress: [{from: [{podSelector: {}}], ports: [{port: 80}]}]}",
);
const ONLY_81 = ONLY_80.replace("port: 80", "port: 81");
const FROM_OUTSIDE = networkPolicy(
  "p",
  "{podSelector: {matchLabels: {app: b}}, ingress: [{from: [{podSelector: {}}], ports: [{port: 80}]}, {from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]}]}",
);

test.each<[string, string, string, string[]]>([
  ["nothing", ONLY_80, ONLY_80, []],
  ["another port", ONLY_80, ONLY_81, ["a => b: TCP 80 -> TCP 81"]],
  [
    "a first policy",
    "",
    ONLY_80,
    ["OUTSIDE => b: All Connections -> No Connections", "a => b: All Connections -> TCP 80"],
  ],
  [
    "some addresses",
    ONLY_80,
    FROM_OUTSIDE,
    ["10.0.0.0-10.0.255.255,10.2.0.0-10.255.255.255 => b: No Connections -> All Connections"],
  ],
])("a change of %s", (_, before, after, expected) => {
  const changes = connectionChanges(objectsOf(APP + before), objectsOf(APP + after));
  const short = (name: string) =>
    name
      .replace("0.0.0.0-255.255.255.255[External]", "OUTSIDE")
      .replace(/default\/|\[Deployment\]|\[External\]/g, "");
  expect(
    changes.map((c) => `${short(c.source)} => ${short(c.destination)}: ${c.before} -> ${c.after}`),
  ).toEqual(expected);
});
