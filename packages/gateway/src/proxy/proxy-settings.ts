import type { Clock, Random } from "@cnilab/core";
import type { NetNamespace, Trace } from "@cnilab/linux";
import type { IpAddress } from "@cnilab/net";
import type { ProxyRules } from "../routing/proxy-rules.ts";
import type { CertificateStore } from "./certificate/certificate-store.ts";
import type { EndpointIndex } from "./endpoint-index.ts";
import type { ForwardedStyle } from "./forwarded-headers.ts";

/** In what proxies of different kinds differ. */
export interface ProxySettings {
  readonly style: ForwardedStyle;
  /** Connections that are tried for one request before it fails. */
  readonly tries: number;
  /** Virtual milliseconds. */
  readonly connectTimeoutMs: number;
  readonly readTimeoutMs: number;
}

/** ingress-nginx: proxy-next-upstream-tries, proxy-connect-timeout, proxy-read-timeout. */
export const NGINX_SETTINGS: ProxySettings = {
  style: "nginx",
  tries: 3,
  connectTimeoutMs: 5000,
  readTimeoutMs: 60_000,
};

/** A Gateway's proxy tries again only where a route says so. */
export const GATEWAY_SETTINGS: ProxySettings = {
  style: "gateway",
  tries: 1,
  connectTimeoutMs: 10_000,
  readTimeoutMs: 60_000,
};

/** What all parts of one proxy share. */
export interface ProxyContext {
  readonly netns: NetNamespace;
  readonly owner: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly settings: ProxySettings;
  readonly endpoints: EndpointIndex;
  readonly certificates: CertificateStore;
  /** Addresses of a name, for Services of type ExternalName; absent where nobody resolves names. */
  readonly lookup?:
    | ((
        name: string,
        trace: Trace | undefined,
        done: (addresses: readonly IpAddress[]) => void,
      ) => void)
    | undefined;
  log(line: string): void;
}

/** A port that the proxy has open. */
export interface ProxyPort {
  /** What it listens on. */
  readonly containerPort: number;
  /** What the rules call it: the port that clients ask for. */
  readonly port: number;
  readonly protocol: ProxyRules["ports"][number]["protocol"];
  /** The newest rules. */
  readonly rules: () => ProxyRules;
}
