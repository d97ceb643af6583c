import { describe, expect, test } from "vitest";
import { egressDscp, qosControls } from "./qos-controls.ts";
import { tryParseQuantity } from "./quantity.ts";

describe("tryParseQuantity", () => {
  test.each([
    ["1", 1n],
    ["1k", 1000n],
    ["1.01k", 1010n],
    ["4Gi", 4294967296n],
    ["1.5Ki", 1536n],
    ["1P", 10n ** 15n],
    ["1e3", 1000n],
    ["1E3", 1000n],
    ["1E", 10n ** 18n],
    ["15e-1", 2n],
    ["1500m", 2n],
    [".5", 1n],
    ["-1500m", -1n],
    ["0", 0n],
  ])("%s is %d", (text, want) => {
    expect(tryParseQuantity(text)).toBe(want);
  });

  test.each(["", "k", "1K", "1 k", "1e", "1kk", "one", "1e99", "1constructor", "."])(
    "%j is none",
    (text) => {
      expect(tryParseQuantity(text)).toBeUndefined();
    },
  );
});

describe("qosControls", () => {
  const calico = (limits: Readonly<Record<string, string>>) =>
    Object.fromEntries(
      Object.entries(limits).map(([name, value]) => [`qos.projectcalico.org/${name}`, value]),
    );

  test.each([
    ["none", {}, undefined],
    [
      "bandwidth has a burst",
      calico({ ingressBandwidth: "1M" }),
      { ingressBandwidth: 1e6, ingressBurst: 4294967296 },
    ],
    [
      "Calico's word before that of Kubernetes",
      {
        "kubernetes.io/egress-bandwidth": "1M",
        ...calico({ egressBandwidth: "2M", egressBurst: "1k" }),
      },
      { egressBandwidth: 2e6, egressBurst: 1000 },
    ],
    [
      "too little",
      calico({ ingressPacketRate: "0" }),
      { ingressPacketRate: 1, ingressPacketBurst: 5 },
    ],
    [
      "too much",
      calico({ ingressPacketRate: "1M" }),
      { ingressPacketRate: 10_000, ingressPacketBurst: 5 },
    ],
    ["what cannot be read", calico({ egressMaxConnections: "many" }), undefined],
    ["a burst alone", calico({ ingressBurst: "1k", egressPacketBurst: "3" }), undefined],
    [
      "a peak rate below the bandwidth",
      calico({ ingressBandwidth: "10k", ingressPeakrate: "5k", ingressMinburst: "1k" }),
      { ingressBandwidth: 10_000, ingressBurst: 4294967296 },
    ],
    ["connections", calico({ ingressMaxConnections: "7" }), { ingressMaxConnections: 7 }],
  ])("%s", (_, annotations: Readonly<Record<string, string>>, want) => {
    expect(qosControls(annotations)).toEqual(want);
  });
});

test.each([
  ["46", 46],
  ["ef", 46],
  [" AF41 ", 34],
  ["64", undefined],
  ["constructor", undefined],
  ["", undefined],
])("DSCP %j is %s", (text, want) => {
  expect(egressDscp({ "qos.projectcalico.org/dscp": text })).toBe(want);
});
