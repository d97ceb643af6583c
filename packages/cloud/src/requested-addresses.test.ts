import type { Service, ServiceSpec } from "@cnilab/core";
import { formatIp } from "@cnilab/net";
import { expect, test } from "vitest";
import { requestedAddresses } from "./requested-addresses.ts";

const DUAL: ServiceSpec = { ipFamilies: ["IPv4", "IPv6"] };

test.each<[string, ServiceSpec, Record<string, string>, string]>([
  ["nothing", {}, {}, "4"],
  ["both families", DUAL, {}, "4,6"],
  ["an address", { loadBalancerIP: "192.0.2.1" }, {}, "4 192.0.2.1"],
  ["an address by annotation", {}, { "metallb.io/loadBalancerIPs": "192.0.2.1" }, "4 192.0.2.1"],
  [
    "two by the older annotation",
    DUAL,
    { "metallb.universe.tf/loadBalancerIPs": "192.0.2.1, 2001:db8::1" },
    "4,6 192.0.2.1,2001:db8::1",
  ],
  ["a pool", {}, { "metallb.io/address-pool": "gold" }, "4 from gold"],
  [
    "one address for two families",
    { ...DUAL, loadBalancerIP: "192.0.2.1" },
    {},
    'requested loadBalancer IP(s) "192.0.2.1" does not match the ipFamily of the service',
  ],
  ["no address", { loadBalancerIP: "web" }, {}, 'invalid loadBalancer IP(s) "web"'],
  [
    "both ways",
    { loadBalancerIP: "192.0.2.1" },
    { "metallb.io/loadBalancerIPs": "192.0.2.2" },
    "service can not have both metallb.io/loadBalancerIPs and svc.Spec.LoadBalancerIP",
  ],
])("a Service that asks for %s", (_, spec, annotations, expected) => {
  const metadata = { name: "web", namespace: "default", annotations };
  const service: Service = { apiVersion: "v1", kind: "Service", metadata, spec };
  const read = () => {
    const { families, addresses, pool } = requestedAddresses(service);
    const wanted = addresses.length > 0 ? ` ${addresses.map(formatIp).join()}` : "";
    return `${families.join()}${wanted}${pool === undefined ? "" : ` from ${pool}`}`;
  };
  if (/^\d/.test(expected)) expect(read()).toBe(expected);
  else expect(read).toThrow(expected);
});
