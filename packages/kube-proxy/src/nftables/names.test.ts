import { expect, test } from "vitest";
import { service, slice } from "../../test/objects.ts";
import { endpointsByPort } from "../endpoint.ts";
import { servicePorts } from "../service-port.ts";
import { nftEndpointNames, nftServiceChains } from "./names.ts";

function names(name: string, portName: string, address: string) {
  const ports = [{ name: portName, port: 5353, protocol: "UDP" }] as const;
  const family = address.includes(":") ? 6 : 4;
  const clusterIP = family === 4 ? "10.96.0.1" : "fd00::1";
  const [port] = servicePorts(
    service(name, { clusterIP, ports: [{ ...ports[0], port: 53 }] }),
    family,
  );
  const [endpoints] = endpointsByPort([slice(name, ports, [address])], family).values();
  const [endpoint] = endpoints ?? [];
  if (port === undefined || endpoint === undefined) throw new RangeError(address);
  return { ...nftServiceChains(port), ...nftEndpointNames(port, endpoint) };
}

// Names that the real kube-proxy v1.35.4 gave (../shared/vectors/kube-proxy, clusterip-multiport).
test("chains and sets have the real names", () => {
  expect(names("multi", "dns", "10.244.1.10")).toEqual({
    cluster: "service-BEH3B6JS-default/multi/udp/dns",
    local: "local-BEH3B6JS-default/multi/udp/dns",
    external: "external-BEH3B6JS-default/multi/udp/dns",
    firewall: "firewall-BEH3B6JS-default/multi/udp/dns",
    chain: "endpoint-E5SVKULV-default/multi/udp/dns__10.244.1.10/5353",
    affinitySet: "affinity-E5SVKULV-default/multi/udp/dns__10.244.1.10/5353",
  });
});

test("colons of IPv6 become dots", () => {
  expect(names("web", "", "fd00::10").chain).toMatch(/-default\/web\/udp\/__fd00\.\.10\/5353$/);
});

test("what is too long for the kernel is cut, and the hash keeps it apart", () => {
  const [one, other] = [1, 2].map((i) => names("s".repeat(230), "", `10.244.1.${i}`).chain);
  expect(one).toMatch(/^endpoint-[A-Z2-7]{8}-default\/s+\.\.\.$/);
  expect(one).toHaveLength("endpoint-".length + 240);
  expect(other).not.toBe(one);
});
