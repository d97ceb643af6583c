import type { Origin } from "@cnilab/core";
import { exchange, type NetNamespace, Trace } from "@cnilab/linux";
import { IPPROTO_TCP, parseIp, parsePrefix } from "@cnilab/net";
import { expect, test } from "vitest";
import { twoNodes } from "../../test/two-nodes.ts";
import { serviceSummary } from "./service-summary.ts";

const WEB: Origin = { kind: "Service", namespace: "default", name: "web" };
/** As kube-proxy has them for a Service with one endpoint, 10.244.2.2:80. */
const SERVICE = `*nat
:KUBE-SERVICES - [0:0]
:KUBE-SVC-A - [0:0]
:KUBE-SEP-A - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-POSTROUTING - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A OUTPUT -j KUBE-SERVICES
-A POSTROUTING -j KUBE-POSTROUTING
-A KUBE-SERVICES -d 10.96.0.10/32 -p tcp -m comment --comment "default/web cluster IP" -m tcp --dport 80 -j KUBE-SVC-A
-A KUBE-SVC-A ! -s 10.244.0.0/16 -d 10.96.0.10/32 -p tcp -m comment --comment "default/web cluster IP" -m tcp --dport 80 -j KUBE-MARK-MASQ
-A KUBE-SVC-A -m comment --comment "default/web -> 10.244.2.2:80" -j KUBE-SEP-A
-A KUBE-SEP-A -p tcp -m comment --comment "default/web" -m tcp -j DNAT --to-destination 10.244.2.2:80
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -j MASQUERADE
COMMIT
`;
const MASQUERADE = `*nat
-A POSTROUTING -s 10.244.0.0/16 ! -d 10.244.0.0/16 -j MASQUERADE
COMMIT
`;
const CHOSEN =
  "node1 chooses 10.244.2.2:80 (default/b) for Service default/web: no rule before took it, and this one takes what is left";

test.each<[string, rules: string, from: "pod" | "node", to: string, string[]]>([
  ["a pod asks a Service", SERVICE, "pod", "10.96.0.10", [CHOSEN]],
  [
    "a node asks a Service",
    SERVICE,
    "node",
    "10.96.0.10",
    [
      CHOSEN,
      "node1 rewrites the source 192.168.0.11 to 10.244.1.0: the source is no pod of the cluster: it is rewritten so that the answer comes back through this node",
    ],
  ],
  [
    "a pod asks a node",
    MASQUERADE,
    "pod",
    "192.168.0.12",
    [
      "node1 rewrites the source 10.244.1.2 to 192.168.0.11: a rule of nat POSTROUTING, from Service default/web",
    ],
  ],
  ["a pod asks a pod", "", "pod", "10.244.2.2", []],
])("%s", (_, rules, from, to, expected) => {
  const { kernels, pods } = twoNodes();
  const [{ initNs }] = kernels;
  initNs.addRoute({ dst: parsePrefix("10.96.0.0/12"), dev: initNs.device("eth0") });
  if (rules !== "") initNs.iptables(4).restore(rules, { noflush: true, origin: WEB });
  const trace = new Trace();
  const source = from === "pod" ? (pods[0] as NetNamespace) : initNs;
  exchange(source, { protocol: IPPROTO_TCP, dst: parseIp(to), port: 80, trace });
  const nameOf = (ip: string) => (ip === "10.244.2.2" ? "default/b" : undefined);
  expect(serviceSummary(trace, nameOf)).toEqual(expected);
});
