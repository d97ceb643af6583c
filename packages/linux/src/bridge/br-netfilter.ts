import { ETH_P_IP, ETH_P_IPV6, formatIp, type IpPacket } from "@cnilab/net";
import type { NetDevice } from "../device/net-device.ts";
import { fragmentPacket } from "../ip/fragment.ts";
import { isErrno, routeReceived } from "../ip/ip-input.ts";
import type { NetNamespace } from "../net-namespace.ts";
import {
  type HookFunction,
  type HookState,
  NF_ACCEPT,
  NF_BR_PRI_BRNF,
  NF_DROP,
  NF_INET_FORWARD,
  NF_INET_LOCAL_IN,
  NF_INET_POST_ROUTING,
  NF_INET_PRE_ROUTING,
  NF_IP_PRI_FIRST,
  NF_IP_PRI_LAST,
  NF_STOLEN,
  NFPROTO_BRIDGE,
  NFPROTO_IPV4,
  NFPROTO_IPV6,
  type NfFamily,
  type NfVerdict,
  nfHook,
  nfHookBehind,
  type OkFn,
} from "../netfilter/hooks.ts";
import { type NfBridgeInfo, PACKET_HOST, PACKET_OTHERHOST, type Skb } from "../skb.ts";
import type { Bridge } from "./bridge.ts";
import { bridgeForwardFinish, bridgeForwardFrame, bridgePush } from "./bridge-path.ts";

/**
 * br_netfilter: bridged IP packets see iptables as if they were routed, with the bridge as input and
 * output device (kernel net/bridge/br_netfilter_hooks.c). Kubernetes needs it, since two pods behind
 * one bridge would otherwise answer each other past conntrack.
 */
export function enableBridgeNetfilter(netns: NetNamespace): void {
  const hooks = netns.netfilter;
  if (hooks.at(NFPROTO_BRIDGE, NF_INET_PRE_ROUTING)?.includes(preRouting)) return;
  hooks.register(NFPROTO_BRIDGE, NF_INET_PRE_ROUTING, preRouting);
  hooks.register(NFPROTO_BRIDGE, NF_INET_LOCAL_IN, localIn);
  hooks.register(NFPROTO_BRIDGE, NF_INET_FORWARD, forward);
  hooks.register(NFPROTO_BRIDGE, NF_INET_POST_ROUTING, postRouting);
  hooks.register(NFPROTO_IPV4, NF_INET_PRE_ROUTING, sabotageIn);
  hooks.register(NFPROTO_IPV6, NF_INET_PRE_ROUTING, sabotageIn);
}

/** The family whose tables a frame has to see, by the namespace's `bridge-nf-call-*`. */
function calledFamily(skb: Skb, netns: NetNamespace): NfFamily | undefined {
  if (skb.etherType === ETH_P_IP) {
    return netns.sysctl.bridgeNfCallIptables === 0 ? undefined : NFPROTO_IPV4;
  }
  if (skb.etherType === ETH_P_IPV6) {
    return netns.sysctl.bridgeNfCallIp6tables === 0 ? undefined : NFPROTO_IPV6;
  }
  return undefined;
}

function familyOfFrame(skb: Skb): NfFamily | undefined {
  if (skb.etherType === ETH_P_IP) return NFPROTO_IPV4;
  return skb.etherType === ETH_P_IPV6 ? NFPROTO_IPV6 : undefined;
}

function bridgeOf(port: NetDevice): Bridge {
  return port.master as Bridge;
}

/** Gives the frame back the packet type that it had before the IP hooks saw it. */
function restoreType(skb: Skb, nfBridge: NfBridgeInfo): void {
  if (!nfBridge.otherhost) return;
  skb.packetType = PACKET_OTHERHOST;
  nfBridge.otherhost = false;
}

function hideType(skb: Skb, nfBridge: NfBridgeInfo): void {
  if (skb.packetType !== PACKET_OTHERHOST) return;
  skb.packetType = PACKET_HOST;
  nfBridge.otherhost = true;
}

const preRouting: HookFunction = {
  name: "br_nf_pre_routing",
  priority: NF_BR_PRI_BRNF,
  run(skb: Skb, state: HookState): NfVerdict {
    const family = calledFamily(skb, state.netns);
    if (family === undefined) return NF_ACCEPT;
    const port = state.in as NetDevice;
    const nfBridge: NfBridgeInfo = {
      physin: port,
      physout: undefined,
      originalDst: skb.ip.dst,
      srcMac: skb.srcMac,
      inPrerouting: true,
      sabotaged: false,
      otherhost: false,
      bridgedDnat: false,
    };
    skb.nfBridge = nfBridge;
    hideType(skb, nfBridge);
    skb.dev = bridgeOf(port);
    nfHook(state.netns, family, NF_INET_PRE_ROUTING, skb, skb.dev, undefined, preRoutingFinish);
    return NF_STOLEN;
  },
};

/** Behind the IP PREROUTING: a DNAT may have changed where the frame has to go. */
function preRoutingFinish(skb: Skb, netns: NetNamespace): void {
  const nfBridge = skb.nfBridge as NfBridgeInfo;
  const bridge = skb.dev as Bridge;
  const port = nfBridge.physin;
  restoreType(skb, nfBridge);
  nfBridge.inPrerouting = false;
  let goOn: OkFn = bridgeForwardFrame;
  if (skb.ip.dst !== nfBridge.originalDst) {
    const result = routeReceived(skb, bridge);
    if (typeof result === "string" && (skb.ip.version === 6 || !isErrno(result))) {
      const reason = isErrno(result) ? "IP_INNOROUTES" : result;
      const detail = `${formatIp(skb.ip.dst)} is no way to go on ${bridge.name} after DNAT`;
      netns.network.drop(skb, netns, reason, bridge, detail);
      return;
    }
    skb.dst = typeof result === "string" ? undefined : result;
    if (skb.dst?.dev === bridge) {
      goOn = bridgeToNewNeighbour;
    } else {
      // Not behind this bridge: up to the IP stack, which forwards it, or says why not. An IPv4 machine
      // that is no router does so, too: ip_route_input makes a route of its error (ip_error), so that the
      // kernel's exception for bridged packets, which waits for EHOSTUNREACH, never comes true.
      skb.dstMac = bridge.mac;
      skb.packetType = PACKET_HOST;
    }
  }
  skb.dev = port;
  nfHookBehind(preRouting, skb, {
    netns,
    family: NFPROTO_BRIDGE,
    hook: NF_INET_PRE_ROUTING,
    in: port,
    out: undefined,
    okfn: goOn,
  });
}

/** The new destination is behind the same bridge: only the MAC changes (`…_finish_bridge`). */
function bridgeToNewNeighbour(skb: Skb, netns: NetNamespace): void {
  const nfBridge = skb.nfBridge as NfBridgeInfo;
  const bridge = bridgeOf(skb.dev as NetDevice);
  const next = skb.dst?.gateway ?? skb.ip.dst;
  nfBridge.bridgedDnat = true;
  const mac = netns.neighboursOf(bridge).resolve(next, skb);
  if (mac === undefined) return; // goes on in Bridge.transmit once there is an answer
  nfBridge.bridgedDnat = false;
  skb.dstMac = mac;
  bridgeForwardFrame(skb);
}

const localIn: HookFunction = {
  name: "br_nf_local_in",
  priority: NF_IP_PRI_LAST,
  run(skb: Skb, state: HookState): NfVerdict {
    // A flooded frame goes up and out: whichever copy comes first confirms the connection.
    if (skb.ct === undefined || skb.packetType === PACKET_HOST) return NF_ACCEPT;
    return state.netns.conntrack?.confirm(skb) ?? NF_ACCEPT;
  },
};

const forward: HookFunction = {
  name: "br_nf_forward_ip",
  priority: NF_BR_PRI_BRNF - 1,
  run(skb: Skb, state: HookState): NfVerdict {
    const nfBridge = skb.nfBridge;
    const family = familyOfFrame(skb);
    if (nfBridge === undefined || family === undefined) return NF_ACCEPT;
    const out = state.out as NetDevice;
    hideType(skb, nfBridge);
    nfBridge.physout = out;
    nfHook(
      state.netns,
      family,
      NF_INET_FORWARD,
      skb,
      bridgeOf(state.in as NetDevice),
      bridgeOf(out),
      forwardFinish,
    );
    return NF_STOLEN;
  },
};

function forwardFinish(skb: Skb, netns: NetNamespace): void {
  const nfBridge = skb.nfBridge as NfBridgeInfo;
  restoreType(skb, nfBridge);
  nfHookBehind(forward, skb, {
    netns,
    family: NFPROTO_BRIDGE,
    hook: NF_INET_FORWARD,
    in: nfBridge.physin,
    out: skb.dev,
    okfn: bridgeForwardFinish,
  });
}

const postRouting: HookFunction = {
  name: "br_nf_post_routing",
  priority: NF_IP_PRI_LAST,
  run(skb: Skb, state: HookState): NfVerdict {
    const nfBridge = skb.nfBridge;
    const family = familyOfFrame(skb);
    // Without a port to leave by, it was routed here: the IP stack has run POSTROUTING already.
    if (nfBridge?.physout === undefined || family === undefined) return NF_ACCEPT;
    const out = skb.dev?.master;
    if (out === undefined) return NF_DROP;
    hideType(skb, nfBridge);
    nfHook(state.netns, family, NF_INET_POST_ROUTING, skb, undefined, out, queueTransmit);
    return NF_STOLEN;
  },
};

/** `br_nf_dev_queue_xmit`: packets that conntrack put together are cut again. */
function queueTransmit(skb: Skb): void {
  const nfBridge = skb.nfBridge as NfBridgeInfo;
  restoreType(skb, nfBridge);
  skb.nfBridge = undefined;
  const packet: IpPacket = skb.ip;
  const dev = skb.dev as NetDevice;
  const limit = skb.fragMaxSize > 0 ? Math.min(skb.fragMaxSize, dev.mtu) : dev.mtu;
  if (skb.fragMaxSize === 0 || packet.length <= limit) {
    bridgePush(skb);
    return;
  }
  // br_nf_ip_fragment: the packet's route, if only a made up one, has the bridge's MTU.
  const room = dev.master?.mtu ?? dev.mtu;
  if (packet.version === 4 && skb.fragMaxSize > room) {
    dev.drop(
      skb,
      "PKT_TOO_BIG",
      `fragments of ${skb.fragMaxSize} bytes, MTU ${room} of the bridge`,
    );
    return;
  }
  for (const fragment of fragmentPacket(packet, limit)) {
    const piece = skb.clone();
    piece.packet = fragment;
    bridgePush(piece);
  }
}

/** The bridge has run the IP PREROUTING for this packet: once is enough (`ip_sabotage_in`). */
const sabotageIn: HookFunction = {
  name: "ip_sabotage_in",
  priority: NF_IP_PRI_FIRST,
  run(skb: Skb, state: HookState): NfVerdict {
    const nfBridge = skb.nfBridge;
    if (nfBridge === undefined || nfBridge.sabotaged || nfBridge.inPrerouting) return NF_ACCEPT;
    nfBridge.sabotaged = true;
    state.okfn(skb, state.netns);
    return NF_STOLEN;
  },
};
