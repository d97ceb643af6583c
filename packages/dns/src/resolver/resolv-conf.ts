import { formatIp, type IpAddress, tryParseIp } from "@cnilab/net";

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

/** Reads a resolv.conf; lines that are not understood are left out, as every resolver does. */
export function parseResolvConf(text: string): ResolvConf {
  const nameservers: IpAddress[] = [];
  let search: readonly string[] = [];
  const options: ResolvConfOption[] = [];
  for (const line of text.split(/\r?\n/)) {
    if (/^[#;]/.test(line)) continue;
    const [keyword, ...values] = line.trim().split(/\s+/);
    if (keyword === "nameserver") {
      // The scope of a link-local address has no meaning here.
      const address = tryParseIp((values[0] ?? "").replace(/%.*/, ""));
      if (address !== undefined) nameservers.push(address);
    } else if (keyword === "search" || keyword === "domain") {
      // The last of these lines counts.
      search = keyword === "domain" ? values.slice(0, 1) : values;
    } else if (keyword === "options") {
      options.push(...values.map(parseOption));
    }
  }
  return { nameservers, search, options };
}

function parseOption(text: string): ResolvConfOption {
  const colon = text.indexOf(":");
  return colon < 0 ? { name: text } : { name: text.slice(0, colon), value: text.slice(colon + 1) };
}

/** As the container runtime writes a pod's: search, nameservers, options (containerd `parseDNSOptions`). */
export function formatResolvConf({ nameservers, search, options }: ResolvConf): string {
  const lines: string[] = [];
  if (search.length > 0) lines.push(`search ${search.join(" ")}`);
  for (const address of nameservers) lines.push(`nameserver ${formatIp(address)}`);
  const texts = options.map(({ name, value }) => (value === undefined ? name : `${name}:${value}`));
  if (texts.length > 0) lines.push(`options ${texts.join(" ")}`);
  return lines.map((line) => `${line}\n`).join("");
}

/** The number that an option has, as `ndots:5`. */
export function optionNumber(conf: ResolvConf, name: string): number | undefined {
  const value = conf.options.findLast((option) => option.name === name)?.value;
  return value !== undefined && /^[0-9]+$/.test(value) ? Number(value) : undefined;
}

export function hasOption(conf: ResolvConf, name: string): boolean {
  return conf.options.some((option) => option.name === name);
}
