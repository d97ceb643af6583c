import { InputError } from "@cnilab/core";
import { type NetNamespace, Wireguard } from "@cnilab/linux";
import { type IpAddress, type Prefix, tryParseIp, tryParsePrefix } from "@cnilab/net";
import type { NamespaceFiles } from "./saved-files.ts";
import type { SavedNamespace } from "./saved-namespace.ts";

/** `wg show all dump` without private and shared keys. */
const FILE = "wg.txt";

/** A device's own line: device, private key, public key, port, mark. */
const OWN_COLUMNS = 5;

/** Public key and port of each device. */
export function readPublicKeys(
  files: NamespaceFiles,
): ReadonlyMap<string, { readonly publicKey: string; readonly listenPort: number }> {
  const keys = new Map<string, { publicKey: string; listenPort: number }>();
  for (const { text, where } of files.lines(FILE)) {
    const columns = text.split("\t");
    if (columns.length !== OWN_COLUMNS) continue;
    const [dev, , publicKey, port] = columns as [string, string, string, string, string];
    if (!/^\d+$/.test(port)) throw new InputError(`"${port}" is no port`, where);
    keys.set(dev, { publicKey, listenPort: Number(port) });
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
