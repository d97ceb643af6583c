/** What of a request decides where it goes. */
export interface RequestHead {
  readonly scheme: "http" | "https";
  readonly method: string;
  /** The Host header, with or without a port; empty where the client sends none. */
  readonly host: string;
  /** Path and query as they stand in the request line. */
  readonly path: string;
  /** By name in any case; a name that comes several times has a list. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /** The server's name in the client's TLS hello. */
  readonly sni?: string;
  /** The port that the proxy was asked on; 80 or 443 by the scheme where it is absent. */
  readonly port?: number;
}
