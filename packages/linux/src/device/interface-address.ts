import { IPV4_LOOPBACK, IPV6_LOOPBACK, type IpAddress } from "@cnilab/net";
import { type RouteScope, RT_SCOPE_HOST } from "../fib/route.ts";

/** A link that carries less has no IPv6 (RFC 8200 section 5). */
export const IPV6_MIN_MTU = 1280;

/** An address on a device, as `ip address` has it. Immutable but for `secondary`. */
export interface DeviceAddress {
  readonly address: IpAddress;
  readonly prefixLength: number;
  readonly scope: RouteScope;
  /** IPv4 only; `undefined` when none was given. */
  readonly broadcast: IpAddress | undefined;
  readonly label: string | undefined;
  /** No connected route comes with it. */
  readonly noPrefixRoute: boolean;
  /** Duplicate address detection was skipped on request. */
  readonly nodad: boolean;
  /** IPv4: another address of the same network was there before. */
  secondary: boolean;
}

/** `127.0.0.1/8` as every `lo` gets it when it comes up (`inetdev_event`). */
export const LOOPBACK_ADDRESS4: DeviceAddress = {
  address: IPV4_LOOPBACK,
  prefixLength: 8,
  scope: RT_SCOPE_HOST,
  broadcast: undefined,
  label: "lo",
  noPrefixRoute: false,
  nodad: false,
  secondary: false,
};

/** `::1/128` as every `lo` gets it when IPv6 starts on it (`init_loopback`). */
export const LOOPBACK_ADDRESS6: DeviceAddress = {
  ...LOOPBACK_ADDRESS4,
  address: IPV6_LOOPBACK,
  prefixLength: 128,
  label: undefined,
};
