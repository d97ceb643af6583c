import { expect, test } from "vitest";
import { endpointChain, serviceChains } from "./names.ts";

// Names that the real kube-proxy v1.35.4 gave (../shared/vectors/kube-proxy, clusterip-multiport).
test.each([
  ["default/multi:http", "tcp", "KUBE-SVC-ZI7V5MEXJLWC5J7J"],
  ["default/multi:https", "tcp", "KUBE-SVC-GULZSZRICXE5C7M7"],
  ["default/multi:dns", "udp", "KUBE-SVC-NUYQOHMSGPXXTXNF"],
  ["default/multi:diameter", "sctp", "KUBE-SVC-BTBFKMJOFCVP3AVA"],
])("service chain of %s %s", (spn, protocol, chain) => {
  expect(serviceChains(spn, protocol).cluster).toBe(chain);
});

test.each([
  ["default/multi:https", "tcp", "10.244.1.10:8443", "KUBE-SEP-2O7TDTJZ3MIQGOND"],
  ["default/multi:dns", "udp", "10.244.1.10:5353", "KUBE-SEP-MOY4URSKS4WLDLIY"],
])("endpoint chain of %s %s %s", (spn, protocol, endpoint, chain) => {
  expect(endpointChain(spn, protocol, endpoint)).toBe(chain);
});
