import type { IpAddress } from "@cnilab/net";
import type { RouteScope } from "../fib/route.ts";

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
