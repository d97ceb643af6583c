import {
  Bridge,
  Dummy,
  type Kernel,
  type NetDevice,
  type NetNamespace,
  type RouteScope,
  type RouteType,
  Veth,
} from "@cnilab/linux";
import { Prefix, parseInterfaceAddress, parseIp, parsePrefix, tryParseMac } from "@cnilab/net";

/**
 * Runs shell lines on a machine, as far as network setup goes: `ip`, `bridge`, `sysctl`, `iptables`,
 * `ip6tables`, `nft`, `echo … > file`, joined by `&&` or `;`. What it does not know is an error.
 */
export function runOnHost(kernel: Kernel, line: string): void {
  for (const command of line.split(/\s*(?:&&|;)\s*(?=(?:[^'"]|'[^']*'|"[^"]*")*$)/)) {
    const words = splitWords(command);
    if (words.length > 0) run(kernel, kernel.initNs, words, command);
  }
}

function splitWords(command: string): string[] {
  const words = command.match(/(?:[^\s"']|"(?:[^"\\]|\\.)*"|'[^']*')+/g) ?? [];
  return words.map((word) =>
    word.replace(/'([^']*)'|"((?:[^"\\]|\\.)*)"/g, (_, single, double) =>
      single === undefined ? (double as string).replace(/\\(.)/g, "$1") : (single as string),
    ),
  );
}

function run(kernel: Kernel, netns: NetNamespace, words: readonly string[], line: string): void {
  const [program, ...args] = words;
  if (program === "ip") ip(kernel, netns, args);
  else if (program === "sysctl") sysctl(netns, args);
  else if (program === "iptables") iptables(netns, 4, args);
  else if (program === "ip6tables") iptables(netns, 6, args);
  else if (program === "nft") netns.nftables.apply(args.join(" "));
  else if (program === "echo" || program === "printf") echo(kernel, netns, args);
  else if (program !== "mkdir" && program !== "modprobe" && program !== "true") {
    throw new Error(`no such command here: ${line}`);
  }
}

function echo(kernel: Kernel, netns: NetNamespace, words: readonly string[]): void {
  const at = words.findIndex((word) => word === ">" || word === ">>");
  const path = words[at + 1];
  if (at < 0 || path === undefined) return;
  const text = `${words
    .slice(0, at)
    .filter((word) => word !== "-e" && word !== "-n")
    .join(" ")
    .replaceAll("\\n", "\n")}\n`;
  if (path.startsWith("/proc/sys/")) {
    netns.sysctl.set(path.slice("/proc/sys/".length), text.trim());
    return;
  }
  const before = words[at] === ">>" ? (kernel.files.read(path) ?? "") : "";
  kernel.files.write(path, before + text);
}

function sysctl(netns: NetNamespace, args: readonly string[]): void {
  for (const arg of args) {
    const [key, value] = arg.split("=");
    if (key === undefined || value === undefined) continue;
    netns.sysctl.set(key.trim(), value.trim());
  }
}

function iptables(netns: NetNamespace, family: 4 | 6, args: readonly string[]): void {
  const words = args.filter((word) => word !== "-w");
  let table = "filter";
  const at = words.findIndex((word) => word === "-t" || word === "--table");
  if (at >= 0) [, table = ""] = words.splice(at, 2);
  const [command, chain = "", ...rest] = words;
  const rule = rest.map(argument).join(" ");
  const tool = netns.iptables(family);
  const position = /^[0-9]+$/.test(rest[0] ?? "") ? Number(rest[0]) : undefined;
  if (command === "-N") tool.newChain(table, chain);
  else if (command === "-X") tool.deleteChain(table, chain);
  else if (command === "-F") tool.flush(table, chain === "" ? undefined : chain);
  else if (command === "-P") tool.setPolicy(table, chain, rest[0] as "ACCEPT" | "DROP");
  else if (command === "-A") tool.append(table, chain, rule);
  else if (command === "-D") tool.delete(table, chain, rule);
  else if (command === "-I" && position === undefined) tool.insert(table, chain, rule);
  else if (command === "-I") {
    tool.insert(table, chain, rest.slice(1).map(argument).join(" "), position);
  } else throw new Error(`no such iptables command here: ${args.join(" ")}`);
}

function argument(word: string): string {
  return /^[^\s"'\\]+$/.test(word) ? word : `"${word.replace(/["\\]/g, "\\$&")}"`;
}

function ip(kernel: Kernel, netns: NetNamespace, args: readonly string[]): void {
  const words = [...args];
  while (words[0]?.startsWith("-") === true) words.shift();
  const [object = "", verb = "show", ...rest] = words;
  if ("link".startsWith(object)) ipLink(kernel, netns, verb, rest);
  else if ("address".startsWith(object)) ipAddress(netns, verb, rest);
  else if ("route".startsWith(object)) ipRoute(netns, verb, rest);
  else if (object === "netns" && verb === "add") kernel.addNamespace(rest[0] ?? "");
  else throw new Error(`no such ip command here: ${args.join(" ")}`);
}

/** `KEY value` pairs; words in `flags` stand alone. */
function pairs(words: readonly string[], flags: readonly string[] = []): Map<string, string> {
  const found = new Map<string, string>();
  for (let i = 0; i < words.length; i++) {
    const word = words[i] as string;
    if (flags.includes(word)) found.set(word, "");
    else found.set(word, words[++i] ?? "");
  }
  return found;
}

function macOption(text: string | undefined): { mac?: number } {
  const mac = text === undefined ? undefined : tryParseMac(text);
  return mac === undefined ? {} : { mac };
}

function ipLink(kernel: Kernel, netns: NetNamespace, verb: string, words: string[]): void {
  if (verb === "add") {
    addLink(kernel, netns, words);
    return;
  }
  const [name = "", ...rest] = words[0] === "dev" ? words.slice(1) : words;
  const dev = netns.device(name);
  if (verb === "del" || verb === "delete") dev.remove();
  else if (verb !== "set") throw new Error(`ip link ${verb}`);
  else {
    for (const [key, value] of pairs(rest, ["up", "down", "nomaster"])) {
      setLink(kernel, dev, key, value);
    }
  }
}

function setLink(kernel: Kernel, dev: NetDevice, key: string, value: string): void {
  if (key === "up") dev.setUp();
  else if (key === "down") dev.setDown();
  else if (key === "mtu") dev.setMtu(Number(value));
  else if (key === "address") dev.setMac(tryParseMac(value) ?? dev.mac);
  else if (key === "master") dev.setMaster(dev.netns.device(value) as Bridge);
  else if (key === "nomaster") dev.clearMaster();
  else if (key === "name") dev.rename(value);
  else if (key === "promisc") dev.setPromiscuous(value === "on");
  else if (key === "netns") dev.moveTo(kernel.findNamespace(value) ?? kernel.addNamespace(value));
  else throw new Error(`ip link set ${dev.name} ${key}`);
}

function addLink(kernel: Kernel, netns: NetNamespace, words: string[]): void {
  const at = words.indexOf("type");
  const type = words[at + 1];
  const own = words.slice(0, at);
  if (own[0] !== "name" && own[0] !== "dev" && own.length % 2 === 1) own.unshift("name");
  const options = pairs(own, ["up"]);
  const name = options.get("name") ?? options.get("dev") ?? "";
  const mtu = options.get("mtu");
  const device = {
    name,
    ...macOption(options.get("address")),
    ...(mtu !== undefined && { mtu: Number(mtu) }),
  };
  if (type === "bridge") new Bridge(netns, device);
  else if (type === "dummy") new Dummy(netns, device);
  else if (type === "veth") addVeth(kernel, netns, device, words.slice(at + 2));
  else throw new Error(`ip link add type ${type}`);
  if (options.has("up")) netns.device(name).setUp();
}

function addVeth(
  kernel: Kernel,
  netns: NetNamespace,
  device: { readonly name: string },
  words: string[],
): void {
  const own = words[0] === "peer" ? words.slice(1) : words;
  if (own[0] !== "name" && own.length % 2 === 1) own.unshift("name");
  const peer = pairs(own);
  const name = peer.get("name") ?? `${device.name}p`;
  const where = peer.get("netns");
  const other = where === undefined ? netns : (kernel.findNamespace(where) ?? netns);
  Veth.pair(netns, device, other, { name, ...macOption(peer.get("address")) });
}

function ipAddress(netns: NetNamespace, verb: string, words: readonly string[]): void {
  const [text = "", ...rest] = words;
  const cidr = text.includes("/") ? text : `${text}/${text.includes(":") ? 128 : 32}`;
  const { address, length } = parseInterfaceAddress(cidr);
  const options = pairs(rest, ["nodad"]);
  const dev = netns.device(options.get("dev") ?? "");
  if (verb === "del" || verb === "delete") {
    dev.removeAddress(address, length);
    return;
  }
  if (verb !== "add" && verb !== "replace") throw new Error(`ip address ${verb}`);
  const brd = options.get("brd") ?? options.get("broadcast");
  const broadcast =
    brd === undefined ? undefined : brd === "+" ? new Prefix(address, length).last : parseIp(brd);
  dev.addAddress(address, length, {
    nodad: options.has("nodad"),
    ...(broadcast !== undefined && { broadcast }),
  });
}

const ROUTE_TYPES = ["unicast", "blackhole", "unreachable", "prohibit", "throw", "local"];
const SCOPES: Readonly<Record<string, RouteScope>> = { global: 0, link: 253, host: 254 };

function ipRoute(netns: NetNamespace, verb: string, words: readonly string[]): void {
  const rest = [...words];
  const type = ROUTE_TYPES.includes(rest[0] ?? "") ? (rest.shift() as RouteType) : undefined;
  const [to = "", ...more] = rest;
  const options = pairs(more, ["onlink"]);
  const via = options.get("via");
  const isV6 = `${to}${via ?? ""}`.includes(":");
  const dst =
    to === "default"
      ? parsePrefix(isV6 ? "::/0" : "0.0.0.0/0")
      : parsePrefix(to.includes("/") ? to : `${to}/${isV6 ? 128 : 32}`);
  const dev = options.get("dev");
  const number = (key: string) => (options.has(key) ? Number(options.get(key)) : undefined);
  const metric = number("metric");
  const table = number("table");
  const src = options.get("src");
  const scope = options.get("scope");
  const spec = {
    dst,
    ...(type !== undefined && { type }),
    ...(via !== undefined && { via: parseIp(via) }),
    ...(dev !== undefined && { dev: netns.device(dev) }),
    ...(options.has("onlink") && { onlink: true }),
    ...(metric !== undefined && { metric }),
    ...(table !== undefined && { table }),
    ...(src !== undefined && { src: parseIp(src) }),
    ...(scope !== undefined && { scope: SCOPES[scope] ?? 0 }),
  } as Parameters<NetNamespace["addRoute"]>[0];
  if (verb === "del" || verb === "delete") netns.deleteRoute(spec);
  else if (verb === "add" || verb === "replace" || verb === "append") netns.addRoute(spec, verb);
  else throw new Error(`ip route ${verb}`);
}

/** The host namespace before the first step. */
export function recordedHost(kernel: Kernel): void {
  const outside = kernel.addNamespace("outside");
  Veth.pair(kernel.initNs, { name: "eth0", ...macOption("02:00:00:00:00:10") }, outside, {
    name: "peer",
  });
  outside.device("peer").setUp();
  kernel.initNs.loopback.setUp();
  for (const line of [
    "ip link set eth0 up",
    "ip addr add 192.0.2.10/24 dev eth0",
    "ip addr add 2001:db8:ff::10/64 dev eth0 nodad",
    "ip route add default via 192.0.2.1",
  ]) {
    runOnHost(kernel, line);
  }
}
