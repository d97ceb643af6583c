import { familyOf, formatIp, type IpAddress } from "@cnilab/net";

/** A line of /etc/hosts. */
export interface HostsRecord {
  readonly address: IpAddress;
  /** As they stand in the file, with spaces between. */
  readonly names: string;
}

const LOCALHOST = "127.0.0.1\tlocalhost\n";
const LOCALHOST6 = `::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
`;

/** A container's /etc/hosts before it joins a network (libnetwork etchosts). */
export function hostsFile(extra: readonly HostsRecord[], ipv6: boolean): string {
  const fitting = extra.filter(({ address }) => ipv6 || familyOf(address) === 4);
  return `${LOCALHOST}${ipv6 ? LOCALHOST6 : ""}${fitting.map(line).join("")}`;
}

export function addHosts(text: string, records: readonly HostsRecord[]): string {
  return `${text}${records.map(line).join("")}`;
}

/** Takes away lines that stand there exactly so: what somebody has changed stays. */
export function deleteHosts(text: string, records: readonly HostsRecord[]): string {
  const gone = new Set(records.map(line));
  const kept = text.split(/(?<=\n)/).filter((each) => !gone.has(each));
  return kept.join("");
}

/** What a container is called in its own file: with a domain, in full and by itself. */
export function ownNames(hostname: string, domainname: string): string {
  const full = domainname === "" ? hostname : `${hostname}.${domainname}`;
  const dot = full.indexOf(".");
  return dot < 0 ? full : `${full} ${full.slice(0, dot)}`;
}

function line({ address, names }: HostsRecord): string {
  return `${formatIp(address)}\t${names}\n`;
}
