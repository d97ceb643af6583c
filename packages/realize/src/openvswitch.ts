import {
  type Datapath,
  type DatapathFlow,
  datapathsOf,
  flowActionsText,
  flowMatchText,
  type NetNamespace,
} from "@cnilab/linux";

/** `ovs-dpctl …`: datapaths of a namespace and their ports, once the devices are there that become ports. */
export function datapathLines(netns: NetNamespace): string[] {
  return [...datapathsOf(netns).values()].flatMap(({ name, ports, local }) => [
    `add-dp ${name}`,
    // The model looks for each packet's mask anew.
    `cache-set-size ${name} masks-cache 0`,
    ...ports
      .filter((port) => port !== local)
      .map((port) => {
        // Tunnels are there already, as devices that take from each packet where it goes.
        const type = port.type === "internal" ? ",type=internal" : "";
        return `add-if ${name} ${port.name}${type},port_no=${port.number}`;
      }),
  ]);
}

/** Lines for `ovs-dpctl add-flows`. Nobody hears of what is for the datapath's program: that no flow fits, and copies. */
export function flowLines(datapath: Datapath): string[] {
  return [...datapath.flows()].map(flowLine);
}

/**
 * The kernel wants to hear of a tunnel's TTL and of a packet's MACs even where they may be any, and nothing of a type that may
 * be any (net/openvswitch/flow_netlink.c `ip_tun_from_nlattr`, `ovs_key_from_nlattrs`, `parse_eth_type_from_nlattrs`).
 */
function flowLine({ match, actions }: DatapathFlow): string {
  let text = flowMatchText(match).replace(/,?eth_type\(0\/0x0000\)$/, "");
  if (!text.includes("ttl=")) text = text.replace(/^tunnel\(/, "tunnel(ttl=0/0,");
  text = text.replace("eth()", `eth(src=${NO_MAC}/${NO_MAC})`);
  return `${text} ${flowActionsText(actions.filter(({ type }) => type !== "userspace"))}`;
}

const NO_MAC = "00:00:00:00:00:00";
