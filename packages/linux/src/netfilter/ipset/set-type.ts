/** A part of an element. */
export type ElementField = "ip" | "net" | "port" | "iface" | "mac" | "set";

/** What `create` may say of a set. */
export type CreateOptionName =
  | "family"
  | "range"
  | "hashsize"
  | "maxelem"
  | "netmask"
  | "size"
  | "timeout"
  | "counters"
  | "comment"
  | "forceadd"
  | "bucketsize"
  | "initval";

/** One kind of set, as the kernel module of its name has it. */
export interface SetType {
  readonly name: string;
  readonly method: "hash" | "bitmap" | "list";
  /** Comma-separated parts of an element, in order: its dimensions. */
  readonly fields: readonly ElementField[];
  /** In the order in which `save` prints them. */
  readonly options: readonly CreateOptionName[];
  /** As `list` prints it; of kernel 6.18. */
  readonly revision: number;
  /** Whether a network of length 0 is an element. */
  readonly zeroCidr: boolean;
}

const EXTENSIONS = ["timeout", "counters", "comment"] as const;

interface HashTypeOptions {
  readonly netmask?: boolean;
  readonly zeroCidr?: boolean;
  readonly noFamily?: boolean;
}

function hash(
  fields: readonly ElementField[],
  revision: number,
  more: HashTypeOptions = {},
): SetType {
  const options: CreateOptionName[] = more.noFamily ? [] : ["family"];
  options.push("hashsize", "maxelem");
  if (more.netmask) options.push("netmask");
  options.push(...EXTENSIONS, "forceadd", "bucketsize", "initval");
  const name = `hash:${fields.join()}`;
  return { name, method: "hash", fields, options, revision, zeroCidr: more.zeroCidr ?? false };
}

function bitmap(field: ElementField, options: readonly CreateOptionName[]): SetType {
  const name = `bitmap:${field}`;
  return { name, method: "bitmap", fields: [field], options, revision: 3, zeroCidr: false };
}

const TYPES: readonly SetType[] = [
  hash(["ip"], 6, { netmask: true }),
  hash(["net"], 7),
  hash(["ip", "port"], 7, { netmask: true }),
  hash(["ip", "port", "ip"], 6),
  hash(["ip", "port", "net"], 8),
  hash(["net", "port"], 8),
  hash(["net", "net"], 4, { netmask: true, zeroCidr: true }),
  hash(["net", "iface"], 8, { zeroCidr: true }),
  hash(["mac"], 1, { noFamily: true }),
  bitmap("port", ["range", ...EXTENSIONS]),
  bitmap("ip", ["range", "netmask", ...EXTENSIONS]),
  {
    name: "list:set",
    method: "list",
    fields: ["set"],
    options: ["size", ...EXTENSIONS],
    revision: 3,
    zeroCidr: false,
  },
];

/** Shorter names that the command takes (ipset 7.17). */
const ALIASES: Readonly<Record<string, string>> = {
  iphash: "hash:ip",
  nethash: "hash:net",
  ipporthash: "hash:ip,port",
  ipportiphash: "hash:ip,port,ip",
  ipportnethash: "hash:ip,port,net",
  netporthash: "hash:net,port",
  netnethash: "hash:net,net",
  netifacehash: "hash:net,iface",
  machash: "hash:mac",
  portmap: "bitmap:port",
  ipmap: "bitmap:ip",
  setlist: "list:set",
};

/** The type with this name, if it is modelled. */
export function setTypeByName(name: string): SetType | undefined {
  const known = Object.hasOwn(ALIASES, name) ? ALIASES[name] : name;
  return TYPES.find((type) => type.name === known);
}
