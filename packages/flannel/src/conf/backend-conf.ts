import { InputError } from "@cnilab/core";
import type { JsonObject } from "./json-object.ts";

/** `Backend` of net-conf.json for pkg/backend/vxlan. */
export interface VxlanConf {
  readonly type: "vxlan";
  readonly vni: number;
  /** 0: the kernel's own, 8472. */
  readonly port: number;
  /** MTU of the packets outside, `undefined` for the external interface's; the device gets 50 less. */
  readonly mtu: number | undefined;
  readonly gbp: boolean;
  readonly learning: boolean;
  readonly directRouting: boolean;
}

export interface HostGwConf {
  readonly type: "host-gw";
}

/** For pkg/backend/udp. */
export interface UdpConf {
  readonly type: "udp";
  readonly port: number;
}

/** For pkg/backend/ipip. */
export interface IpipConf {
  readonly type: "ipip";
  readonly directRouting: boolean;
}

/** For pkg/backend/wireguard. */
export interface WireguardConf {
  readonly type: "wireguard";
  readonly listenPort: number;
  readonly listenPortV6: number;
  readonly mtu: number | undefined;
  /** Base64 of 32 bytes; empty for none. */
  readonly psk: string;
  /** Seconds; 0 is off. */
  readonly persistentKeepaliveInterval: number;
  /** `separate`: a tunnel a family; the others carry both in one, over the family they name or find. */
  readonly mode: "separate" | "auto" | "ipv4" | "ipv6";
}

/** Leases only: somebody else routes, as a cloud does. */
export interface AllocConf {
  readonly type: "alloc";
}

export type BackendConf = VxlanConf | HostGwConf | UdpConf | IpipConf | WireguardConf | AllocConf;

export type BackendType = BackendConf["type"];

const NOT_MODELLED = new Set(["extension", "ipsec", "tencent-vpc"]);

/** Reads the `Backend` object; `undefined` stands for none given, which is `udp` whatever the documentation says. */
export function parseBackend(backend: JsonObject | undefined, where: string): BackendConf {
  const name = backend === undefined ? "udp" : (backend.string("Type") ?? "");
  const type = name.toLowerCase();
  const parse = Object.hasOwn(PARSERS, type) ? PARSERS[type as BackendType] : undefined;
  if (parse !== undefined) return parse(backend);
  const known = Object.keys(PARSERS).join(", ");
  const what = NOT_MODELLED.has(type)
    ? `the backend "${name}" is not modelled`
    : `there is no backend "${name}"`;
  throw new InputError(`${what}; "Backend.Type" may be ${known}`, where);
}

const PARSERS: Readonly<Record<BackendType, (backend: JsonObject | undefined) => BackendConf>> = {
  vxlan: (b) => ({
    type: "vxlan",
    vni: b?.integer("VNI", 0, 0xffffff) ?? 1,
    port: b?.integer("Port", 0, 65535) ?? 0,
    // vxlan devices with less carry no IPv4 (dev->min_mtu is 68)
    mtu: b?.integer("MTU", 118, 65535),
    gbp: b?.boolean("GBP") ?? false,
    learning: b?.boolean("Learning") ?? false,
    directRouting: b?.boolean("DirectRouting") ?? false,
  }),
  "host-gw": () => ({ type: "host-gw" }),
  udp: (b) => ({ type: "udp", port: b?.integer("Port", 1, 65535) ?? 8285 }),
  ipip: (b) => ({ type: "ipip", directRouting: b?.boolean("DirectRouting") ?? false }),
  wireguard: (b) => ({
    type: "wireguard",
    listenPort: b?.integer("ListenPort", 1, 65535) ?? 51820,
    listenPortV6: b?.integer("ListenPortV6", 1, 65535) ?? 51821,
    mtu: b?.integer("MTU", 148, 65535),
    psk: presharedKey(b?.string("PSK") ?? ""),
    persistentKeepaliveInterval: b?.integer("PersistentKeepaliveInterval", 0, 65535) ?? 0,
    mode: wireguardMode(b?.string("Mode") ?? "separate"),
  }),
  alloc: () => ({ type: "alloc" }),
};

function wireguardMode(mode: string): WireguardConf["mode"] {
  if (mode === "separate" || mode === "auto" || mode === "ipv4" || mode === "ipv6") return mode;
  throw new InputError(`"Backend.Mode" must be separate, auto, ipv4 or ipv6, not "${mode}"`);
}

function presharedKey(psk: string): string {
  if (psk === "" || /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/.test(psk)) return psk;
  throw new InputError(`"Backend.PSK" must be 32 bytes in base64, as \`wg genpsk\` makes them`);
}
