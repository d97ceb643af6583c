import { expect, test } from "vitest";
import { proxyReason } from "./proxy-reasons.ts";

// Rules as kube-proxy v1.35.4 writes them, and what a packet that matched them did.
test.each<[location: string, text: string, effect: string, expected: string | undefined]>([
  [
    "nat KUBE-SERVICES",
    '-A KUBE-SERVICES -d 10.96.0.10/32 -p tcp -m comment --comment "default/web:http cluster IP" -m tcp --dport 80 -j KUBE-SVC-A',
    "jump KUBE-SVC-A",
    "service: cluster IP of Service default/web:http",
  ],
  [
    "nat KUBE-SERVICES",
    '-A KUBE-SERVICES -d 10.96.0.10/32 -p tcp -m comment --comment "default/web cluster IP" -m tcp --dport 80 -j KUBE-SVL-A',
    "jump KUBE-SVL-A",
    "service: cluster IP of Service default/web; internal policy Local: only endpoints on this node, and the source is kept",
  ],
  [
    "nat KUBE-SERVICES",
    '-A KUBE-SERVICES -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS',
    "jump KUBE-NODEPORTS",
    undefined,
  ],
  [
    "nat KUBE-NODEPORTS",
    '-A KUBE-NODEPORTS -p tcp -m comment --comment "default/web" -m tcp --dport 30080 -j KUBE-EXT-A',
    "jump KUBE-EXT-A",
    "service: node port of Service default/web",
  ],
  [
    "nat KUBE-EXT-A",
    '-A KUBE-EXT-A -m comment --comment "masquerade traffic for default/web external destinations" -j KUBE-MARK-MASQ',
    "jump KUBE-MARK-MASQ",
    "source: external policy Cluster: any node's endpoint may serve, and the source is rewritten so that the answer comes back through this node",
  ],
  [
    "nat KUBE-EXT-A",
    '-A KUBE-EXT-A -s 10.244.0.0/16 -m comment --comment "pod traffic for default/web external destinations" -j KUBE-SVC-A',
    "jump KUBE-SVC-A",
    "service: from within the cluster: policy Local is for the outside, all endpoints serve",
  ],
  ["nat KUBE-EXT-A", "-A KUBE-EXT-A -j KUBE-SVC-A", "jump KUBE-SVC-A", undefined],
  [
    "nat KUBE-EXT-A",
    "-A KUBE-EXT-A -j KUBE-SVL-A",
    "jump KUBE-SVL-A",
    "service: external policy Local: only endpoints on this node, and the source is kept",
  ],
  [
    "nat KUBE-SVC-A",
    '-A KUBE-SVC-A ! -s 10.244.0.0/16 -d 10.96.0.10/32 -p tcp -m comment --comment "default/web cluster IP" -m tcp --dport 80 -j KUBE-MARK-MASQ',
    "jump KUBE-MARK-MASQ",
    "source: the source is no pod of the cluster: it is rewritten so that the answer comes back through this node",
  ],
  [
    "nat KUBE-SVC-A",
    '-A KUBE-SVC-A -m comment --comment "default/web -> 10.244.1.2:8080" -m statistic --mode random --probability 0.33333333349 -j KUBE-SEP-A',
    "jump KUBE-SEP-A",
    "endpoint: by chance, one of 3 that were left",
  ],
  [
    "nat KUBE-SVC-A",
    '-A KUBE-SVC-A -m comment --comment "default/web -> 10.244.1.2:8080" -j KUBE-SEP-A',
    "jump KUBE-SEP-A",
    "endpoint: no rule before took it, and this one takes what is left",
  ],
  [
    "nat KUBE-SVC-A",
    '-A KUBE-SVC-A -m comment --comment "default/web -> 10.244.1.2:8080" -m recent --rcheck --seconds 10800 --reap --name KUBE-SEP-A --mask 255.255.255.255 --rsource -j KUBE-SEP-A',
    "jump KUBE-SEP-A",
    "endpoint: session affinity: the client had this endpoint before",
  ],
  [
    "nat KUBE-SEP-A",
    '-A KUBE-SEP-A -s 10.244.1.2/32 -m comment --comment "default/web" -j KUBE-MARK-MASQ',
    "jump KUBE-MARK-MASQ",
    "source: the endpoint asks itself: its source is rewritten so that the answer comes back through this node",
  ],
  [
    "nat KUBE-POSTROUTING",
    '-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
    "MASQUERADE --random-fully",
    "source: because a rule before has marked it",
  ],
  [
    "filter KUBE-SERVICES",
    '-A KUBE-SERVICES -d 10.96.0.10/32 -p tcp -m comment --comment "default/web has no endpoints" -m tcp --dport 80 -j REJECT --reject-with icmp-port-unreachable',
    "REJECT",
    "service: default/web has no endpoints",
  ],
  [
    "filter KUBE-PROXY-FIREWALL",
    '-A KUBE-PROXY-FIREWALL -d 198.51.100.1/32 -p tcp -m comment --comment "default/web traffic not accepted by KUBE-FW-A" -m tcp --dport 80 -j DROP',
    "DROP",
    "service: the source is not in loadBalancerSourceRanges",
  ],
  [
    "nat KUBE-LOAD-BALANCER",
    "-A KUBE-LOAD-BALANCER -j KUBE-MARK-MASQ",
    "jump KUBE-MARK-MASQ",
    "source: external policy Cluster: any node's endpoint may serve, and the source is rewritten so that the answer comes back through this node",
  ],
  [
    "nat KUBE-SERVICES",
    '-A KUBE-SERVICES ! -s 10.244.0.0/16 -m comment --comment "Kubernetes service cluster ip + port for masquerade purpose" -m set --match-set KUBE-CLUSTER-IP dst,dst -j KUBE-MARK-MASQ',
    "jump KUBE-MARK-MASQ",
    "source: the source is no pod of the cluster: it is rewritten so that the answer comes back through this node",
  ],
  [
    "nat KUBE-NODE-PORT",
    '-A KUBE-NODE-PORT -p tcp -m comment --comment "Kubernetes nodeport TCP port with externalTrafficPolicy=local" -m set --match-set KUBE-NODE-PORT-LOCAL-TCP dst -j RETURN',
    "RETURN",
    "service: external policy Local: only endpoints on this node, and the source is kept",
  ],
  [
    "nat KUBE-POSTROUTING",
    '-A KUBE-POSTROUTING -m comment --comment "Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose" -m set --match-set KUBE-LOOP-BACK dst,dst,src -j MASQUERADE',
    "MASQUERADE",
    "source: the endpoint asks itself: its source is rewritten so that the answer comes back through this node",
  ],
  ["filter FORWARD", "-A FORWARD -s 10.244.0.0/16 -j ACCEPT", "ACCEPT", undefined],
  [
    "ip kube-proxy services",
    "ip daddr . meta l4proto . th dport vmap @service-ips",
    "goto external-PFISGYVC-default/web/tcp/http",
    "service: address of Service default/web",
  ],
  [
    "ip kube-proxy services",
    "ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports",
    "goto external-PFISGYVC-default/web/tcp/",
    "service: node port of Service default/web",
  ],
  [
    "ip kube-proxy external-PFISGYVC-default/web/tcp/",
    "jump mark-for-masquerade",
    "jump mark-for-masquerade",
    "source: external policy Cluster: any node's endpoint may serve, and the source is rewritten so that the answer comes back through this node",
  ],
  [
    "ip kube-proxy external-PFISGYVC-default/web/tcp/",
    'ip saddr 10.244.0.0/16 goto service-PFISGYVC-default/web/tcp/ comment "short-circuit pod traffic"',
    "goto service-PFISGYVC-default/web/tcp/",
    "service: from within the cluster: policy Local is for the outside, all endpoints serve",
  ],
  [
    "ip kube-proxy service-PFISGYVC-default/web/tcp/",
    "ip daddr 10.96.0.10 tcp dport 80 ip saddr != 10.244.0.0/16 jump mark-for-masquerade",
    "jump mark-for-masquerade",
    "source: the source is no pod of the cluster: it is rewritten so that the answer comes back through this node",
  ],
  [
    "ip kube-proxy service-PFISGYVC-default/web/tcp/",
    "numgen random mod 2 vmap { 0 : goto endpoint-A-default/web/tcp/__10.244.1.2/8080, 1 : goto endpoint-B-default/web/tcp/__10.244.2.2/8080 }",
    "goto endpoint-A-default/web/tcp/__10.244.1.2/8080",
    "endpoint: by chance, one of 2",
  ],
  [
    "ip kube-proxy service-PFISGYVC-default/web/tcp/",
    "ip saddr @affinity-A-default/web/tcp/__10.244.1.2/8080 goto endpoint-A-default/web/tcp/__10.244.1.2/8080",
    "goto endpoint-A-default/web/tcp/__10.244.1.2/8080",
    "endpoint: session affinity: the client had this endpoint before",
  ],
  [
    "ip kube-proxy firewall-PFISGYVC-default/web/tcp/",
    "ip saddr != { 203.0.113.0/24 } drop",
    "drop",
    "service: the source is not in loadBalancerSourceRanges",
  ],
])("%s: %s", (location, text, effect, expected) => {
  const reason = proxyReason({ location, text, origin: undefined }, effect);
  expect(reason === undefined ? undefined : `${reason.about}: ${reason.text}`).toBe(expected);
});
