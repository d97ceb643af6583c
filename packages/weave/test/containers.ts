import {
  type Bridge,
  type Exchange,
  type ExchangeRequest,
  exchange,
  type NetNamespace,
  Trace,
  type TraceStep,
  Veth,
} from "@cnilab/linux";
import { type Mac, parseIp } from "@cnilab/net";

/** A container 10.32.0.N on a host's bridge `weave`; no other of the host has its ID. */
export function attachContainer(
  bridge: Bridge,
  id: number,
  number: number,
  ethernet: { readonly mtu: number; readonly mac?: Mac },
): NetNamespace {
  const { netns } = bridge;
  const container = netns.kernel.addNamespace(`c${id}`);
  container.loopback.setUp();
  const { mtu } = ethernet;
  const [veth, eth0] = Veth.pair(netns, { name: `vethwepl${id}`, mtu }, container, {
    name: "eth0",
    ...ethernet,
  });
  veth.setMaster(bridge);
  veth.setUp();
  eth0.setUp();
  eth0.addAddress(parseIp(`10.32.0.${number}`), 12);
  return container;
}

/** What becomes of a request to 10.32.0.N, and its way. */
export function ask(
  from: NetNamespace,
  number: number,
  request: Omit<ExchangeRequest, "dst" | "trace">,
): Exchange & { readonly steps: readonly TraceStep[] } {
  const trace = new Trace();
  const said = exchange(from, { ...request, dst: parseIp(`10.32.0.${number}`), trace });
  return { ...said, steps: trace.steps };
}
