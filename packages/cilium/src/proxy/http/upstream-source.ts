import type { TcpConnectOptions } from "@cnilab/linux";

/** What a proxy's connection to whom a request is for comes from; without an address the node's own. */
export type UpstreamSource = Pick<TcpConnectOptions, "src" | "localPort"> & {
  readonly mark: number;
  readonly transparent: boolean;
};

/** The program that has the proxies' sockets. */
export const ENVOY = "cilium-envoy";
