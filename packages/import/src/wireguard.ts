import { InputError } from "@cnilab/core";
import { type NetNamespace, Wireguard } from "@cnilab/linux";
import { type IpAddress, type Prefix, tryParseIp, tryParsePrefix } from "@cnilab/net";
import type { NamespaceFiles } from "./saved-files.ts";
import type { SavedNamespace } from "./saved-namespace.ts";

/** `wg show all dump` without private and shared keys. */
const FILE = "wg.txt";

/** A device's own line: device, private key, public key, port, mark. */
const OWN_COLUMNS = 5;

/** What a device says of itself. */
export interface SavedWireguard {
  readonly publicKey: string;
  readonly listenPort: number;
  readonly fwmark: number;
}

/** Public key, port and mark of each device. */
export function readPublicKeys(files: NamespaceFiles): ReadonlyMap<string, SavedWireguard> {
  const keys = new Map<string, SavedWireguard>();
  for (const { text, where } of files.lines(FILE)) {
    const columns = text.split("\t");
    if (columns.length !== OWN_COLUMNS) continue;
    const [dev, , publicKey, port, mark] = columns as [string, string, string, string, string];
    if (!/^\d+$/.test(port)) throw new InputError(`"${port}" is no port`, where);
    // `off`, or hexadecimal.
    const fwmark = /^0x[0-9a-f]+$/.test(mark) ? Number(mark) : 0;
    keys.set(dev, { publicKey, listenPort: Number(port), fwmark });
  }
  return keys;
}

/** Peers: device, public key, shared key, endpoint, allowed IPs, three counters, keepalive. @throws InputError */
export function addPeers(netns: NetNamespace, { files }: SavedNamespace): void {
  for (const { text, where } of files.lines(FILE)) {
    const columns = text.split("\t");
    if (columns.length === OWN_COLUMNS) continue;
    const [name = "", publicKey = "", , endpoint = "", allowed = "", , , , keepalive = ""] =
      columns;
    const dev = netns.findDevice(name);
    if (!(dev instanceof Wireguard)) continue;
    dev.setPeer({
      publicKey,
      endpoint: readEndpoint(endpoint, where),
      allowedIps: allowed === "(none)" ? [] : allowed.split(",").map((p) => readPrefix(p, where)),
      persistentKeepalive: /^\d+$/.test(keepalive) ? Number(keepalive) : 0,
    });
  }
}

function readEndpoint(
  text: string,
  where: string,
): { readonly address: IpAddress; readonly port: number } | undefined {
  if (text === "(none)") return undefined;
  const found = /^\[?([^\]]*)\]?:(\d+)$/.exec(text);
  const address = tryParseIp(found?.[1] ?? "");
  if (address === undefined) throw new InputError(`"${text}" is no endpoint`, where);
  return { address, port: Number(found?.[2]) };
}

function readPrefix(text: string, where: string): Prefix {
  const prefix = tryParsePrefix(text);
  if (prefix === undefined) throw new InputError(`"${text}" is no prefix`, where);
  return prefix;
}
