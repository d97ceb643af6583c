import type { NetDevice } from "../../device/net-device.ts";
import { earlyDemux } from "../../socket/early-demux.ts";
import type { Socket } from "../../socket/socket.ts";
import { NF_INET_LOCAL_IN } from "../hooks.ts";
import { nameToValue } from "./data-type.ts";
import { writeWords } from "./key-words.ts";
import type { MetaKey } from "./packet-key.ts";
import type { Source } from "./source.ts";
import type { Walk } from "./walk.ts";

/** Something about a packet that is not in it (net/netfilter/nft_meta.c nft_meta_get_eval). */
export function metaSource(key: MetaKey): Source | undefined {
  switch (key) {
    case "iifname":
      return new DeviceNameSource(true);
    case "oifname":
      return new DeviceNameSource(false);
    case "ibrname":
    case "obrname":
    case "nftrace":
      return undefined;
    default:
      return new MetaSource(key);
  }
}

type NumberKey = Exclude<MetaKey, "iifname" | "oifname" | "ibrname" | "obrname" | "nftrace">;

class MetaSource implements Source {
  readonly words = 1;
  readonly #key: NumberKey;

  constructor(key: NumberKey) {
    this.#key = key;
  }

  load(walk: Walk, at: number): boolean {
    const value = this.#read(walk);
    if (value < 0) return false;
    walk.registers[at] = value;
    return true;
  }

  /** -1 where the packet has no such thing. */
  #read(walk: Walk): number {
    const { skb, state } = walk;
    switch (this.#key) {
      case "mark":
        return skb.mark >>> 0;
      case "l4proto":
        return walk.packet?.protocol ?? -1;
      case "nfproto":
        return state.family;
      case "protocol":
        return skb.etherType;
      case "length":
        return skb.length;
      case "priority":
        return skb.priority >>> 0;
      case "iif":
        return state.in?.ifindex ?? 0;
      case "oif":
        return state.out?.ifindex ?? 0;
      case "pkttype":
        return skb.packetType;
      // All programs of the model run as root.
      case "skuid":
      case "skgid":
        return socketOf(walk) === undefined ? -1 : 0;
      case "random":
        walk.netns.network.recording?.unrepeatable();
        return walk.netns.kernel.random.uint32();
    }
  }
}

/** The socket that sent the packet, or that a packet for this machine will reach. */
function socketOf({ skb, state, netns }: Walk): Socket | undefined {
  if (skb.socket !== undefined || state.hook !== NF_INET_LOCAL_IN || !skb.isIp) return skb.socket;
  return earlyDemux(skb, netns);
}

/** The name of a device as words, which is remembered: names change rarely. */
const names: WeakMap<NetDevice, { readonly name: string; readonly words: Uint32Array }> =
  new WeakMap();

function nameWords(dev: NetDevice): Uint32Array {
  let known = names.get(dev);
  if (known === undefined || known.name !== dev.name) {
    const words = new Uint32Array(4);
    writeWords(nameToValue(dev.name), 128, words, 0);
    known = { name: dev.name, words };
    names.set(dev, known);
  }
  return known.words;
}

const NO_NAME: Uint32Array = new Uint32Array(4);

/** The device that a packet came in by or leaves by; an empty name where there is none. */
export class DeviceNameSource implements Source {
  readonly words = 4;
  readonly input: boolean;

  constructor(input: boolean) {
    this.input = input;
  }

  load(walk: Walk, at: number): boolean {
    const dev = this.device(walk);
    walk.registers.set(dev === undefined ? NO_NAME : nameWords(dev), at);
    return true;
  }

  device({ state }: Walk): NetDevice | undefined {
    return this.input ? state.in : state.out;
  }
}
