import { IPPROTO_UDP } from "@cnilab/net";
import type { Socket } from "../../../socket/socket.ts";
import { anySocket } from "../../../socket/socket-lookup.ts";
import { IP_CT_ESTABLISHED_REPLY, IPS_SRC_NAT_DONE } from "../../conntrack-entry.ts";
import { type Match, type MatchExtension, not, type OptionValues } from "../extension.ts";
import { parameterProblem } from "../iptables-error.ts";
import { parseUint, type Range } from "../numbers.ts";
import type { Walk } from "../walk.ts";

const SOCKET_OPTIONS = ["transparent", "nowildcard", "restore-skmark"] as const;

/** Whether somebody here has a socket for the packet (net/netfilter/xt_socket.c). */
class SocketMatch implements Match {
  readonly pure = false;
  readonly #transparent: boolean;
  readonly #noWildcard: boolean;
  readonly #restoreMark: boolean;
  readonly text: string;

  constructor(values: OptionValues) {
    this.#transparent = values.has("transparent");
    this.#noWildcard = values.has("nowildcard");
    this.#restoreMark = values.has("restore-skmark");
    const given = SOCKET_OPTIONS.filter((option) => values.has(option));
    this.text = ["-m socket", ...given.map((option) => `--${option}`)].join(" ");
  }

  matches(walk: Walk): boolean {
    // UDP's sockets make cached flows invalid when they come or go; other connections do not.
    if (walk.packet.protocol !== IPPROTO_UDP) walk.netns.network.recording?.unrepeatable();
    const socket = walk.skb.socket ?? findSocket(walk);
    if (socket === undefined) return false;
    // Sockets bound to every address count with --nowildcard only.
    const isWildcard = !this.#noWildcard && socket.localAddress === undefined;
    if (isWildcard || (this.#transparent && socket.transparent !== true)) return false;
    if (this.#restoreMark) walk.skb.mark = socket.mark ?? 0;
    return true;
  }
}

/** By the ends of the packet as this machine's sockets have them: what answers a translated packet is for its sender. */
function findSocket({ netns, packet, srcPort, dstPort, skb }: Walk): Socket | undefined {
  if (dstPort < 0) return undefined;
  const { protocol, src, dst } = packet;
  const { ct } = skb;
  if (ct !== undefined && skb.ctInfo === IP_CT_ESTABLISHED_REPLY && ct.status & IPS_SRC_NAT_DONE) {
    const { src: sender, srcPort: senderPort } = ct.original;
    return anySocket(netns, { protocol, src, srcPort, dst: sender, dstPort: senderPort });
  }
  return anySocket(netns, { protocol, src, srcPort, dst, dstPort });
}

export const socket: MatchExtension = {
  names: ["socket"],
  options: SOCKET_OPTIONS.map((name) => ({ name, args: 0 })),
  parse: (values) => new SocketMatch(values),
};

/** Who a socket belongs to: programs here run as root, as those of containers do by default. */
const ROOT = 0;

/** Whose socket sent the packet (net/netfilter/xt_owner.c). */
class OwnerMatch implements Match {
  readonly pure = true;
  readonly #uid: Range | undefined;
  readonly #uidInverted: boolean;
  readonly #gid: Range | undefined;
  readonly #gidInverted: boolean;
  /** `undefined` where the rule does not ask. */
  readonly #exists: boolean | undefined;

  constructor(values: OptionValues) {
    this.#uid = values.parsed("uid-owner", parseId);
    this.#uidInverted = values.isInverted("uid-owner");
    this.#gid = values.parsed("gid-owner", parseId);
    this.#gidInverted = values.isInverted("gid-owner");
    this.#exists = values.has("socket-exists") ? !values.isInverted("socket-exists") : undefined;
  }

  matches(walk: Walk): boolean {
    const exists = walk.skb.socket !== undefined;
    if (this.#exists !== undefined && this.#exists !== exists) return false;
    return (
      holds(this.#uid, this.#uidInverted, exists) && holds(this.#gid, this.#gidInverted, exists)
    );
  }

  get text(): string {
    let text = "-m owner";
    if (this.#exists !== undefined) text += ` ${not(!this.#exists)}--socket-exists`;
    if (this.#uid !== undefined)
      text += ` ${not(this.#uidInverted)}--uid-owner ${formatId(this.#uid)}`;
    if (this.#gid !== undefined)
      text += ` ${not(this.#gidInverted)}--gid-owner ${formatId(this.#gid)}`;
    return text;
  }
}

/** A packet without a socket matches only what is inverted. */
function holds(id: Range | undefined, inverted: boolean, exists: boolean): boolean {
  if (id === undefined) return true;
  return (exists && id.min <= ROOT && ROOT <= id.max) !== inverted;
}

function parseId(text: string): Range | undefined {
  if (text === "root") return { min: 0, max: 0 };
  const [low = "", high = low] = text.split("-", 2);
  const min = parseUint(low, 0xfffffffe);
  const max = parseUint(high, 0xfffffffe);
  return min === undefined || max === undefined || min > max ? undefined : { min, max };
}

function formatId({ min, max }: Range): string {
  return min === max ? String(min) : `${min}-${max}`;
}

export const owner: MatchExtension = {
  names: ["owner"],
  options: [
    { name: "uid-owner", args: 1, invertible: true },
    { name: "gid-owner", args: 1, invertible: true },
    { name: "socket-exists", args: 0, invertible: true },
  ],
  parse(values) {
    if (!["uid-owner", "gid-owner", "socket-exists"].some((option) => values.has(option))) {
      throw parameterProblem(
        "owner: At least one of --uid-owner, --gid-owner or --socket-exists is required",
      );
    }
    return new OwnerMatch(values);
  },
};
