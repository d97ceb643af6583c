import { InputError, type Node } from "@cnilab/core";
import { type Ipv6Address, parseIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { annotate, annotationNames, isNews, nodeToLease } from "./annotations.ts";

const names = annotationNames("flannel.alpha.coreos.com");
const F = "flannel.alpha.coreos.com";
const VXLAN = '{"VNI":1,"VtepMAC":"aa:bb:cc:00:00:01"}';
const VXLAN6 = '{"VNI":1,"VtepMAC":"aa:bb:cc:00:00:02"}';

describe("prefix", () => {
  test.each([
    { prefix: "flannel.alpha.coreos.com", key: "flannel.alpha.coreos.com/backend-data" },
    { prefix: "flannel.example.com/", key: "flannel.example.com/backend-data" },
    { prefix: "flannel.example.com/blue", key: "flannel.example.com/blue-backend-data" },
    { prefix: "flannel.example.com/blue-", key: "flannel.example.com/blue-backend-data" },
  ])("$prefix", ({ prefix, key }) => {
    expect(annotationNames(prefix).backendData).toBe(key);
  });

  test.each(["a/b/c", "nodots", ""])("refuses %j", (prefix) => {
    expect(() => annotationNames(prefix)).toThrow(InputError);
  });
});

describe("what flanneld writes", () => {
  const v4 = { publicIp: parseIp("10.0.0.1") as number, publicIpv6: undefined };
  const dual = { ...v4, publicIpv6: parseIp("fd00::1") as Ipv6Address };
  test.each([
    {
      what: "vxlan",
      old: {},
      attributes: { ...v4, backendType: "vxlan", backendData: VXLAN, backendV6Data: "null" },
      now: { "backend-type": "vxlan", "backend-data": VXLAN, "public-ip": "10.0.0.1" },
    },
    {
      what: "vxlan of both families",
      old: {},
      attributes: { ...dual, backendType: "vxlan", backendData: VXLAN, backendV6Data: VXLAN6 },
      now: {
        "backend-type": "vxlan",
        "backend-data": VXLAN,
        "public-ip": "10.0.0.1",
        "backend-v6-data": VXLAN6,
        "public-ipv6": "fd00::1",
      },
    },
    {
      what: "host-gw of both families",
      old: {},
      attributes: { ...dual, backendType: "host-gw", backendData: "null", backendV6Data: "null" },
      now: {
        "backend-type": "host-gw",
        "backend-data": "null",
        "public-ip": "10.0.0.1",
        "backend-v6-data": "null",
        "public-ipv6": "fd00::1",
      },
    },
    {
      what: "udp, which has no name for itself",
      old: {},
      attributes: { ...dual, backendType: "", backendData: "null", backendV6Data: "null" },
      now: { "backend-type": "", "backend-data": "null", "public-ip": "10.0.0.1" },
    },
    {
      what: "an address that somebody wants instead",
      old: { "public-ip-overwrite": "203.0.113.5" },
      attributes: { ...v4, backendType: "host-gw", backendData: "null", backendV6Data: "null" },
      now: {
        "public-ip-overwrite": "203.0.113.5",
        "backend-type": "host-gw",
        "backend-data": "null",
        "public-ip": "203.0.113.5",
      },
    },
  ])("$what", ({ old, attributes, now }) => {
    const written = annotate(keys(old), attributes, names);
    expect(written).toEqual(keys({ ...now, "kube-subnet-manager": "true" }));
    expect(annotate(written, attributes, names)).toBe(written);
  });
});

function keys(labels: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).map(([key, value]) => [`${F}/${key}`, value]));
}

describe("what others make of it", () => {
  const base = { "backend-type": "vxlan", "backend-data": VXLAN, "public-ip": "10.0.0.1" };
  const v4 = { enableIPv4: true, enableIPv6: false };
  const both = { enableIPv4: true, enableIPv6: true };
  const node = (annotations: Record<string, string>, podCIDRs: string[]): Node => ({
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: "n", annotations: keys(annotations) },
    spec: { podCIDR: podCIDRs[0] ?? "", podCIDRs },
  });

  test.each([
    {
      annotations: base,
      podCIDRs: ["10.244.1.0/24"],
      families: v4,
      subnets: ["10.244.1.0/24", undefined],
    },
    {
      annotations: base,
      podCIDRs: ["2001:db8::/64", "10.244.1.0/24"],
      families: v4,
      subnets: ["10.244.1.0/24", undefined],
    },
    { annotations: base, podCIDRs: [], families: v4, subnets: undefined },
    { annotations: base, podCIDRs: ["2001:db8::/64"], families: v4, subnets: undefined },
    {
      annotations: { ...base, "public-ip": "" },
      podCIDRs: ["10.244.1.0/24"],
      families: v4,
      subnets: undefined,
    },
    // an IPv6 side that is missing makes the whole lease unreadable
    {
      annotations: base,
      podCIDRs: ["10.244.1.0/24", "2001:db8::/64"],
      families: both,
      subnets: undefined,
    },
    {
      annotations: { ...base, "public-ipv6": "fd00::1" },
      podCIDRs: ["10.244.1.0/24", "2001:db8::/64"],
      families: both,
      subnets: ["10.244.1.0/24", "2001:db8::/64"],
    },
  ])("$annotations $podCIDRs $families", ({ annotations, podCIDRs, families, subnets }) => {
    const lease = nodeToLease(node(annotations, podCIDRs), names, families);
    expect(lease && [lease.subnet?.toString(), lease.ipv6Subnet?.toString()]).toEqual(subnets);
  });
});

describe("what is news", () => {
  const v4 = { enableIPv4: true, enableIPv6: false };
  const v6 = { enableIPv4: false, enableIPv6: true };
  const both = { enableIPv4: true, enableIPv6: true };
  test.each([
    { change: {}, families: v4, news: false },
    { change: { "public-ip": "10.0.0.2" }, families: v4, news: true },
    { change: { "backend-data": VXLAN }, families: v4, news: true },
    { change: { "backend-type": "host-gw" }, families: v4, news: true },
    { change: { "public-ipv6": "fd00::2" }, families: v4, news: false },
    { change: { "public-ipv6": "fd00::2" }, families: v6, news: true },
    // in dual stack one family's change alone goes unheard
    { change: { "public-ip": "10.0.0.2" }, families: both, news: false },
    { change: { "backend-v6-data": VXLAN6 }, families: both, news: false },
    { change: { "public-ip": "10.0.0.2", "public-ipv6": "fd00::2" }, families: both, news: true },
    { change: { "backend-type": "host-gw" }, families: both, news: true },
    { change: { "something-else": "x" }, families: both, news: false },
  ])("$change with $families: $news", ({ change, families, news }) => {
    expect(
      isNews(
        keys({ "public-ip": "10.0.0.1" }),
        keys({ "public-ip": "10.0.0.1", ...change }),
        names,
        families,
      ),
    ).toBe(news);
  });
});
