import { SeededRandom, VirtualClock } from "@cnilab/core";
import {
  Bridge,
  Kernel,
  type NetNamespace,
  Network,
  Nic,
  Segment,
  startEchoServer,
  Veth,
  Vxlan,
} from "@cnilab/linux";
import { IPPROTO_TCP, parseIp, parsePrefix } from "@cnilab/net";

/** Two nodes as Flannel's vxlan backend leaves them, with two pods on each, by hand. */
export interface TwoNodes {
  readonly network: Network;
  readonly kernels: readonly [Kernel, Kernel];
  /** Pods `pod2` and `pod3` of the first node, then of the second. */
  readonly pods: readonly NetNamespace[];
}

export function twoNodes(): TwoNodes {
  const network = new Network(new VirtualClock(), new SeededRandom(1));
  const wire = new Segment(network, "underlay");
  const pods: NetNamespace[] = [];
  const tunnels: Vxlan[] = [];
  const kernels = [1, 2].map((n) => {
    const kernel = new Kernel(network, `node${n}`);
    const host = kernel.initNs;
    host.loopback.setUp();
    const eth0 = new Nic(host, { name: "eth0", segment: wire });
    eth0.addAddress(parseIp(`192.168.0.1${n}`), 16);
    eth0.setUp();
    host.sysctl.set("net.ipv4.ip_forward", 1);
    const cni0 = new Bridge(host, { name: "cni0", mtu: 1450 });
    cni0.setUp();
    cni0.addAddress(parseIp(`10.244.${n}.1`), 24);
    cni0.setMac(cni0.mac);
    const local = parseIp(`192.168.0.1${n}`);
    const flannel = new Vxlan(host, {
      name: "flannel.1",
      vni: 1,
      link: eth0,
      local,
      learning: false,
      mtu: 1450,
    });
    flannel.addAddress(parseIp(`10.244.${n}.0`), 32);
    flannel.setUp();
    tunnels.push(flannel);
    for (const p of [2, 3]) {
      const pod = kernel.addNamespace(`pod${p}`);
      pod.loopback.setUp();
      const [veth, eth] = Veth.pair(host, { name: `veth${p}`, mtu: 1450 }, pod, {
        name: "eth0",
        mtu: 1450,
      });
      veth.setUp();
      veth.setMaster(cni0);
      eth.addAddress(parseIp(`10.244.${n}.${p}`), 24);
      eth.setUp();
      pod.addRoute({ dst: parsePrefix("0.0.0.0/0"), via: parseIp(`10.244.${n}.1`) });
      pods.push(pod);
    }
    return kernel;
  }) as [Kernel, Kernel];
  for (const [a, b] of [
    [0, 1],
    [1, 0],
  ] as const) {
    const [here, there] = [tunnels[a] as Vxlan, tunnels[b] as Vxlan];
    const peer = parseIp(`10.244.${b + 1}.0`);
    here.netns.neighboursOf(here).replace(peer, there.mac);
    here.replaceFdb(there.mac, there.local as number);
    here.netns.addRoute({
      dst: parsePrefix(`10.244.${b + 1}.0/24`),
      via: peer,
      dev: here,
      onlink: true,
      origin: { kind: "Node", name: `node${b + 1}`, detail: "podCIDR" },
    });
  }
  startEchoServer(pods[2] as NetNamespace, {
    protocol: IPPROTO_TCP,
    port: 80,
    owner: "default/web-0/nginx",
  });
  return { network, kernels, pods };
}
