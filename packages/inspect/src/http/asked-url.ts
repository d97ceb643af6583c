/** What was asked, as the URL has it. */
export interface AskedUrl {
  readonly scheme: "http" | "https";
  /** Without a port. */
  readonly host: string;
  readonly port: number;
  /** Without a query; `/` where it is absent. */
  readonly path?: string;
  /** Whether it was asked from outside the cluster, where only doors have names. */
  readonly outside: boolean;
}
