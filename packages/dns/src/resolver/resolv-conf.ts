import type { IpAddress } from "@cnilab/net";

export interface ResolvConfOption {
  readonly name: string;
  readonly value?: string;
}

/** What resolv.conf(5) says. */
export interface ResolvConf {
  readonly nameservers: readonly IpAddress[];
  readonly search: readonly string[];
  readonly options: readonly ResolvConfOption[];
}
