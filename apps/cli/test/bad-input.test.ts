// Whatever a user gets wrong costs one clear line, nothing on stdout, and exit code 2.

import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Answer } from "./cnilab.ts";
import { LimitedHeap } from "./limited-heap.ts";

const pod = (spec: string, name = "a") =>
  `apiVersion: v1\nkind: Pod\nmetadata:\n  name: ${name}\nspec: ${spec}\n`;
const service = (spec: string) =>
  `apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: ${spec}\n`;
const deployment = (spec: string) =>
  `apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n${spec}`;
const node = (name: string, range: string) =>
  `apiVersion: v1\nkind: Node\nmetadata: {name: ${name}}\nspec: {podCIDR: ${range}}\n---\n`;
const ALIASES = Array.from({ length: 12 }, (_, i) =>
  i === 0 ? "  a0: &a0 [x]" : `  a${i}: &a${i} [${`*a${i - 1},`.repeat(9)}]`,
);
/** Nothing that is refused may need much memory. */
const HEAP_MEGABYTES = 512;
const MEGABYTES_50 = 50 * 1024 * 1024;

const FILES: Readonly<Record<string, string | (() => string | Buffer)>> = {
  "broken.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: a\n",
  "tab.yaml": "apiVersion: v1\nkind: Pod\nmetadata:\n\tname: a\n",
  "twice.yaml": "apiVersion: v1\nkind: Pod\nkind: Service\n",
  "type.yaml": pod("5"),
  "replicas.yaml": deployment(
    '  replicas: "three"\n  selector: {matchLabels: {a: b}}\n  template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c}]}}\n',
  ),
  "selector.yaml": deployment(
    "  selector: {matchLabels: {a: b}}\n  template: {metadata: {labels: {a: c}}, spec: {containers: [{name: c}]}}\n",
  ),
  "port.yaml": pod("\n  containers:\n  - name: c\n    ports:\n    - containerPort: 70000"),
  "protocol.yaml": pod("{containers: [{name: c, ports: [{containerPort: 80, protocol: HTTP}]}]}"),
  "name.yaml": pod("{containers: [{name: c}]}", "Bad_Name"),
  "duplicate.yaml": `${pod("{containers: [{name: c}]}")}---\n${pod("{containers: [{name: c}]}")}`,
  "overlap.yaml": node("n1", "10.244.0.0/24") + node("n2", "10.244.0.128/25"),
  "cidr.yaml":
    "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec:\n  podSelector: {}\n  ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/33}}]}]\n",
  "clusterip.yaml": service("{clusterIP: 1.2.3.4, ports: [{port: 80}]}"),
  "nodeport.yaml": service("{type: NodePort, ports: [{port: 80, nodePort: 80}]}"),
  "portnames.yaml": service("{ports: [{port: 80}, {port: 81}]}"),
  "podip.yaml": `${pod("{nodeName: n1, containers: [{name: c}]}")}status: {podIP: 10.300.0.1}\n`,
  "old.yaml": "apiVersion: extensions/v1beta1\nkind: Deployment\nmetadata: {name: d}\n",
  "noapi.yaml": "kind: Pod\nmetadata: {name: a}\n",
  "text.yaml": "just text\n",
  "empty.yaml": "",
  "comments.yaml": "# nothing\n---\n",
  "bomb.yaml": `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n${ALIASES.join("\n")}\n`,
  "deep.yaml": "[".repeat(100_000),
  "deep.json": '{"a":'.repeat(100_000),
  "helm.yaml": 'apiVersion: v1\nkind: Service\nmetadata:\n  name: {{ include "x" . }}\n',
  "kustomize/kustomization.yaml": "resources: [a.yaml]\n",
  "folder/readme.txt": "nothing here\n",
  "binary.yaml": () => Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0, 1, 0xff, 0xfe]),
  "control.yaml": "a: \u0001\n",
  "garbage.yaml": () => Buffer.alloc(MEGABYTES_50, "\u00e9\u0000\u00ff"),
  "words.yaml": () => "lorem ipsum dolor sit amet\n".repeat(MEGABYTES_50 / 27),
  "line.ndjson": '{"src":"shop/deploy/cart","dst":"cache.shop-data","port":6379}\nnot json\n',
  "port.ndjson": '{"src":"shop/deploy/cart","dst":"cache.shop-data","port":70000}\n',
  "word.ndjson": '{"src":"shop/deploy/cart","dst":"cache.shop-data","port":"http"}\n',
  "pod.ndjson":
    '{"src":"shop/deploy/cart","dst":"cache.shop-data"}\n{"src":"shop/nobody","dst":"a"}\n',
  "bare.ndjson": '{"src":"nobody","dst":"cache.shop-data"}\n',
  "protocol.ndjson": '{"src":"a","dst":"b","protocol":"QUIC"}\n',
  "array.ndjson": "[1]\n",
  "model.mjs": "export const nothing = 1;\n",
  "throws.mjs": 'throw new Error("not today");\n',
  "config.json": '{"detectLocalMode": "Sideways"}\n',
  "services.yaml": service("{ports: [{port: 80}]}"),
};

let folder: string;
let heap: LimitedHeap;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cnilab-bad-input-"));
  for (const [name, content] of Object.entries(FILES)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), typeof content === "string" ? content : content());
  }
  symlinkSync("loop", join(folder, "loop"));
  heap = new LimitedHeap(HEAP_MEGABYTES);
});

afterAll(async () => {
  await heap.close();
  rmSync(folder, { recursive: true });
});

/** What is wrong, the arguments, and all that the user is told. */
const MANIFESTS: readonly (readonly [string, string])[] = [
  ["broken.yaml", "broken.yaml:4: is not valid YAML: deficient indentation"],
  ["tab.yaml", "tab.yaml:4: is not valid YAML: tab characters must not be used in indentation"],
  ["twice.yaml", "twice.yaml:3: is not valid YAML: duplicated mapping key"],
  ["type.yaml", "type.yaml:5: Pod default/a: spec must be a mapping, not 5"],
  [
    "replicas.yaml",
    'replicas.yaml:5: Deployment default/d: spec.replicas must be a whole number of at least 0, not "three"',
  ],
  [
    "selector.yaml",
    "selector.yaml:6: Deployment default/d: spec.template.metadata.labels do not match selector a=b; make them equal",
  ],
  [
    "port.yaml",
    "port.yaml:9: Pod default/a: spec.containers[0].ports[0].containerPort must be a whole number between 1 and 65535, not 70000",
  ],
  [
    "protocol.yaml",
    'protocol.yaml:5: Pod default/a: spec.containers[0].ports[0].protocol must be TCP, UDP or SCTP, not "HTTP"',
  ],
  [
    "name.yaml",
    'name.yaml:4: Pod default/Bad_Name: metadata.name must be lower-case letters, digits, hyphens and dots, starting and ending with a letter or digit, not "Bad_Name"',
  ],
  [
    "duplicate.yaml",
    "duplicate.yaml:7: Pod default/a: is here a second time (first on line 1); remove one",
  ],
  [
    "overlap.yaml",
    "Node n2: pod range 10.244.0.128/25 overlaps 10.244.0.0/24 of node n1; give each node its own",
  ],
  [
    "cidr.yaml",
    'cidr.yaml:6: NetworkPolicy default/p: spec.ingress[0].from[0].ipBlock.cidr must be a range in CIDR notation such as 10.0.0.0/8, not "10.0.0.0/33"',
  ],
  [
    "clusterip.yaml",
    'Service default/s: spec.clusterIPs: Invalid value: ["1.2.3.4"]: failed to allocate IP 1.2.3.4: the provided IP (1.2.3.4) is not in the valid range. The range of valid IPs is 10.96.0.0/12',
  ],
  [
    "nodeport.yaml",
    "Service default/s: spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767",
  ],
  [
    "portnames.yaml",
    "portnames.yaml:4: Service default/s: spec.ports[0].name is required where there are several ports",
  ],
  [
    "podip.yaml",
    'podip.yaml:6: Pod default/a: status.podIP must be an IP address such as 10.0.0.1 or fd00::1, not "10.300.0.1"',
  ],
  [
    "old.yaml",
    "old.yaml:1: Deployment default/d: apiVersion extensions/v1beta1 is not served any more; write apps/v1",
  ],
  ["noapi.yaml", "noapi.yaml:1: Pod: has no apiVersion, such as v1 or apps/v1"],
  ["text.yaml", "text.yaml:1: is not a Kubernetes object; it needs apiVersion, kind and metadata"],
  ["empty.yaml", "empty.yaml: is empty; check what was meant to be in it"],
  ["comments.yaml", "comments.yaml: holds no Kubernetes objects"],
  [
    "bomb.yaml",
    "bomb.yaml: has more than 1000000 values when its aliases are written out (a YAML bomb?)",
  ],
  ["deep.yaml", "deep.yaml:1: is not valid YAML: nesting exceeded maxDepth (100)"],
  ["deep.json", "deep.json:1: is not valid YAML: nesting exceeded maxDepth (100)"],
  [
    "helm.yaml",
    "helm.yaml:4: is a Helm template; render it first: helm template NAME CHART | cnilab … -f -",
  ],
  [
    "kustomize",
    "kustomize/kustomization.yaml:1: is a kustomization; build it first: kubectl kustomize FOLDER | cnilab … -f -",
  ],
  ["folder", "folder: the folder holds no *.yaml, *.yml or *.json file"],
  ["binary.yaml", "binary.yaml: is not text in UTF-8; it should be YAML or JSON"],
  ["control.yaml", "control.yaml:1: is not text, so it is no manifest"],
  ["garbage.yaml", "garbage.yaml:1: is not text, so it is no manifest"],
  [
    "words.yaml",
    "words.yaml: holds no Kubernetes objects: nothing in it has a kind; check that it is a manifest",
  ],
  ["missing.yaml", "missing.yaml: there is no such file or folder; check the path"],
  ["", '"": there is no such file or folder; check the path'],
  ["loop", "loop: cannot be read (ELOOP); check path and permissions"],
  ["/dev/zero", "/dev/zero: is longer than 256 MiB; split it"],
];

const KINDS =
  "adminnetworkpolicies, backendtlspolicies, baselineadminnetworkpolicies, clusternetworkpolicies, configmaps, daemonsets, deployments, endpoints, endpointslices, events, gateways, gatewayclasses, grpcroutes, httproutes, ingresses, ingressclasses, jobs, listenersets, namespaces, networkpolicies, nodes, pods, referencegrants, replicasets, replicationcontrollers, secrets, services, serviceaccounts, statefulsets, tcproutes, tlsroutes, udproutes, bgpconfigurations, bgpfilters, bgppeers, blockaffinities, caliconodestatuses, clusterinformations, felixconfigurations, globalnetworkpolicies, globalnetworksets, hostendpoints, ipamblocks, ipamconfigurations, ipamhandles, ippools, ipreservations, kubecontrollersconfigurations, networkpolicies.projectcalico.org, networksets, profiles, stagedglobalnetworkpolicies, stagedkubernetesnetworkpolicies, stagednetworkpolicies, tiers, ciliumcidrgroups, ciliumclusterwidenetworkpolicies, ciliumendpoints, ciliumidentities, ciliumnetworkpolicies, ciliumnodes, ciliumpodippools";
const WAYS = "ns/pod, deploy/NAME, svc/NAME, node/NAME, a DNS name or an address";

const ARGUMENTS: readonly (readonly [string, string])[] = [
  ["frobnicate", "unknown command 'frobnicate'; cnilab --help lists all"],
  ["rnu", "unknown command 'rnu' (Did you mean run?)"],
  ["run --frobnicate", "unknown option '--frobnicate'"],
  ["run now", "too many arguments for 'run'. Expected 0 arguments but got 1: now."],
  ["run -f", "option '-f, --filename <path>' argument missing"],
  ["run -f - -f -", "-f -: standard input can be read once only; leave one out"],
  ["run -f -", "standard input: is empty; check what was meant to be in it"],
  [
    "run -o xml",
    "option '-o, --output <format>' argument 'xml' is invalid. Allowed choices are text, json.",
  ],
  [
    "run --listen some",
    "option '--listen <ports>' argument 'some' is invalid. Allowed choices are declared, all.",
  ],
  ["run --nodes 0", '--nodes: must be a whole number from 1 to 65000, not "0"'],
  ["run --seed 1.5", '--seed: must be a whole number from 0 to 4294967295, not "1.5"'],
  [
    "run --cni nope",
    '--cni: there is no model "nope"; known are flannel, calico, cilium, weave, none, or give an npm package or a path',
  ],
  [
    "run --cni ./model.mjs",
    "--cni: ./model.mjs exports no CNI model: an object with name, release, description, options and register",
  ],
  ["run --cni ./throws.mjs", "--cni: ./throws.mjs cannot be loaded: not today"],
  [
    "run --cni-set backend=pigeon",
    '--cni-set: backend must be one of vxlan, host-gw, udp, ipip, wireguard, alloc, not "pigeon"',
  ],
  [
    "run --cni-set wings=2",
    '--cni-set: flannel has no option "wings"; it has backend, nftables, ipMasq, iface, directRouting, vni, port, mtu, gbp, learning, mode, psk, persistentKeepalive',
  ],
  [
    "run --cni-set directRouting=maybe",
    '--cni-set: directRouting must be true or false, not "maybe"',
  ],
  [
    "run --cni-set port=70000",
    'Flannel\'s options: "Backend.Port" must be an integer from 0 to 65535, not 70000',
  ],
  ["run --cni-set backend=udp --ip-families ipv6", "Flannel's backend udp needs IPv4; try vxlan"],
  ["run --cni none --cni-set a=b", '--cni-set: none has no option "a"'],
  [
    "run --cluster-cidr 10.300.0.0/16",
    '--cluster-cidr: "10.300.0.0/16" is not a CIDR; write it as 10.244.0.0/16',
  ],
  [
    "run --cluster-cidr 10.100.0.0/16",
    "--cluster-cidr: pod range 10.100.0.0/16 overlaps Service range 10.96.0.0/12; choose two ranges without a common address",
  ],
  [
    "run --cluster-cidr fd00::/48 --ip-families ipv4",
    "--cluster-cidr: no IPv4 range is given, but the cluster uses IPv4; add one, separated by a comma",
  ],
  [
    "run --cluster-cidr 10.244.0.0/28",
    "--node-cidr-mask-size: a node's range of /24 does not fit into 10.244.0.0/28; choose 28 to 30",
  ],
  [
    "run --node-cidr-mask-size 31",
    "--node-cidr-mask-size: a node's range of /31 does not fit into 10.244.0.0/16; choose 16 to 30",
  ],
  [
    "run --node-cidr-mask-size 200",
    '--node-cidr-mask-size: must be a whole number from 1 to 128, not "200"',
  ],
  [
    "run --service-cluster-ip-range 10.96.0.0/31",
    "--service-cluster-ip-range: 10.96.0.0/31 has no room for Services; choose a range of /29 or larger",
  ],
  [
    "run --service-node-port-range 80",
    '--service-node-port-range: "80" is no range of ports; write it as 30000-32767',
  ],
  [
    "run --load-balancer-set latency=soon",
    '--load-balancer-set: latency must be a number of seconds, not "soon"',
  ],
  [
    "run --load-balancer-set source=kept",
    '--load-balancer-set: source must be preserved or translated, not "kept"',
  ],
  [
    "run --load-balancer-set health=http",
    '--load-balancer-set: health must be kube-proxy or node-port, not "http"',
  ],
  [
    "run --load-balancer-set pool=10.0.0.9-10.0.0.1",
    '--load-balancer-set: "10.0.0.9-10.0.0.1" is no pool; write a CIDR, or its first and last address with a dash between',
  ],
  [
    "run --load-balancer l2 --load-balancer-set latency=1",
    '--load-balancer-set: load balancer l2 has no option "latency=1"; it has pool=…, class=…',
  ],
  [
    "run --load-balancer none --load-balancer-set pool=10.0.0.0/24",
    '--load-balancer-set: load balancer none has no option "pool=10.0.0.0/24"',
  ],
  [
    "run --ip-families ipv5",
    '--ip-families: "ipv5" is no IP family; write ipv4, ipv6 or ipv4,ipv6',
  ],
  ["get gizmos", `get: there is no kind "gizmos"; there are ${KINDS}`],
  ["get pods nobody -A", 'get: there is no "nobody" among pods'],
  ["describe gizmos", `describe: there is no kind "gizmos"; there are ${KINDS}`],
  ["describe pods nobody -A", 'describe: there is no "nobody" among pods'],
  [
    "get pods -l a+b",
    '-l: "a+b" is no label selector; write it as app=web,tier!=db or env in (a,b)',
  ],
  ["show routes", "show: name a node with --node, or a pod with --pod"],
  ["show routes --node node9", '--node: there is no node "node9"; there are node1, node2, node3'],
  ["show routes --pod nobody", "--pod: there is no pod default/nobody"],
  [
    "show routes --pod shop/deploy/cart --node node3",
    "--node: pod shop/cart-5bb5d785b5-78ttr runs on node1, not on node3",
  ],
  [
    "show wires --node node1",
    "command-argument value 'wires' is invalid for argument 'what'. Allowed choices are links, addrs, routes, rules, neigh, fdb, tc, iptables, ip6tables, nft, ipset, ipvs, conntrack, ovs, xfrm, sockets, sysctl, hns-networks, hns-endpoints, hns-loadbalancers, vfp, vfp-flows, bpf.",
  ],
  [
    "show iptables --node node1 -o json",
    "show iptables: iptables-save has no JSON form; leave -o json out",
  ],
  [
    "show vfp --node node1",
    "show vfp: node1 runs Linux, which has no vfpctrl /list-rule; take rules, fdb, tc, iptables, ip6tables, nft, ipset, ipvs, conntrack, ovs, xfrm, sysctl",
  ],
  [
    "show routes --node node1 --table x",
    '--table: "x" is no routing table; write a number, main, local or all',
  ],
  [
    "explain frobnicator",
    'explain: there is no explanation of "frobnicator"; cnilab explain, without a word, lists all that are known',
  ],
  [
    "render weave --node node1",
    "command-argument value 'weave' is invalid for argument 'agent'. Allowed choices are kube-proxy, flannel, calico, cilium, weave-npc.",
  ],
  ["render kube-proxy -f services.yaml", "required option '--node <name>' not specified"],
  [
    "render kube-proxy --node n1 -f services.yaml -o tea",
    '-o: kube-proxy has no output "tea"; it has iptables, ip6tables, nftables, nftables-json, ipvs, ipset, addrs',
  ],
  [
    "render kube-proxy --node n1 -f services.yaml --proxy-mode nftables -o iptables",
    '-o: kube-proxy has no output "iptables" in mode nftables; it has nftables, nftables-json',
  ],
  [
    "render kube-proxy --node n1 -f services.yaml --config config.json",
    "config.json: detectLocalMode must be one of ClusterCIDR, NodeCIDR, BridgeInterface, InterfaceNamePrefix, not Sideways",
  ],
  [
    "render kube-proxy --node n9 -f overlap.yaml",
    '--node: there is no node "n9" in the input; there are n1, n2',
  ],
  [
    "render flannel --node n1 -f overlap.yaml",
    "Node n1: has no lease: spec.podCIDR and flannel's annotations, as kubectl get nodes -o yaml prints them",
  ],
  [
    "render flannel --node n1 -f services.yaml",
    "services.yaml: holds no Node; flanneld reads them, and their annotations",
  ],
  ["trace shop/deploy/cart", "missing required argument 'dst[:port]'"],
  [
    "trace nobody cache.shop-data:6379",
    '"nobody": there is no pod default/nobody; a source is a pod, deploy/NAME, node/NAME, internet or an address',
  ],
  ["trace svc/nope cache.shop-data", '"svc/nope": there is no Service default/nope'],
  [
    "trace shop/deploy/cart cache.shop-data:70000",
    '"cache.shop-data:70000": port 70000 is not between 1 and 65535',
  ],
  [
    "trace shop/deploy/cart cache.shop-data:web",
    '"cache.shop-data": there is no TCP port named web; it has redis; write its number',
  ],
  ["trace shop/deploy/cart 300.1.2.3:80", '"300.1.2.3:80": is no IPv4 address'],
  ["trace shop/deploy/cart [::1:80", `"[::1:80": is neither a name nor an address; write ${WAYS}`],
  [
    "probe shop/deploy/cart",
    "probe: name SRC and DST, as in: cnilab probe shop/deploy/cart cache.shop-data:6379",
  ],
  [
    "probe a b --probes line.ndjson",
    "probe: give either SRC and DST, or --probes with a file, not both",
  ],
  [
    "probe --probes missing.ndjson",
    "missing.ndjson: there is no such file or folder; check the path",
  ],
  [
    "probe internet http://shop.example.com/",
    '"http://shop.example.com/": is a URL: ask with cnilab curl internet http://shop.example.com/',
  ],
  [
    "trace internet http://shop.example.com/ --protocol udp",
    "--protocol udp: a URL is asked for over TCP",
  ],
  ["probe --probes folder", "folder: is a folder; name a file"],
  ["probe --probes - -f -", "--probes -: standard input cannot hold both manifests and probes"],
  ["probe --probes line.ndjson", "line.ndjson:2: is not JSON; write one object a line"],
  [
    "probe --probes array.ndjson",
    'array.ndjson:1: must be an object, as {"src":"ns/a","dst":"ns/b","port":80}',
  ],
  [
    "probe --probes port.ndjson",
    "port.ndjson:1: port must be a number from 1 to 65535 or the name of a port",
  ],
  [
    "probe --probes word.ndjson",
    'word.ndjson:1: "cache.shop-data": there is no TCP port named http; it has redis; write its number',
  ],
  ["probe --probes pod.ndjson", 'pod.ndjson:2: "shop/nobody": there is no pod shop/nobody'],
  [
    "probe --probes bare.ndjson",
    'bare.ndjson:1: "nobody": there is no pod default/nobody; a source is a pod, deploy/NAME, node/NAME, internet or an address',
  ],
  ["probe --probes protocol.ndjson", "protocol.ndjson:1: protocol must be TCP, UDP, SCTP, ICMP"],
  ["cni eat", "too many arguments for 'list'. Expected 0 arguments but got 1: eat."],
  [
    "completion tcsh",
    "command-argument value 'tcsh' is invalid for argument 'shell'. Allowed choices are bash, zsh, fish.",
  ],
];

describe("manifests", () => {
  test.each(MANIFESTS)("%s", async (path, message) => {
    const { status, stdout, stderr } = await run(["run", "-f", path]);
    expect({ status, stdout, stderr }).toEqual({ status: 2, stdout: "", stderr: line(message) });
  });
});

describe("arguments", () => {
  test.each(ARGUMENTS)("%s", async (args, message) => {
    const { status, stdout, stderr } = await run(args.split(" "));
    expect({ status, stdout, stderr }).toEqual({ status: 2, stdout: "", stderr: line(message) });
  });
});

function run(args: readonly string[]): Promise<Answer> {
  return heap.run(args, { cwd: folder });
}

function line(message: string): string {
  return `cnilab: ${message}\n`;
}
