import { formatIp, type IpAddress, type IpFamily, type Prefix } from "@cnilab/net";
import type { Skb } from "../../../skb.ts";
import type { HookState, NfVerdict } from "../../hooks.ts";
import { dnat, masquerade, type NatRange, netmap, redirect, snat } from "../../nat.ts";
import { serviceByName } from "../../service-names.ts";
import type {
  OptionSpec,
  OptionValues,
  RuleContext,
  RulePlace,
  Target,
  TargetExtension,
  TargetVerdict,
} from "../extension.ts";
import { asPrefix, formatAddress, parseAddress, parseHost } from "../header-match.ts";
import { parameterProblem } from "../iptables-error.ts";
import { parseUint } from "../numbers.ts";
import { invalidRule } from "../rule-refusal.ts";
import type { Walk } from "../walk.ts";

type Translate = (skb: Skb, state: HookState, range: NatRange) => NfVerdict;

/** Decides how a new connection is translated; the packet then leaves the nat table. */
class NatTarget implements Target {
  readonly needsConntrack = true;
  readonly text: string;
  readonly dropsItself = true;
  readonly #range: NatRange;
  readonly #translate: Translate;
  readonly #chains: readonly string[];

  constructor(text: string, range: NatRange, translate: Translate, chains: readonly string[]) {
    this.text = text;
    this.#range = range;
    this.#translate = translate;
    this.#chains = chains;
  }

  run({ skb, state }: Walk): TargetVerdict {
    return this.#translate(skb, state, this.#range);
  }

  effect(): string {
    return this.text.slice("-j ".length);
  }

  check(place: RulePlace): void {
    checkNatPlace(place, this.#chains);
  }
}

/** NAT targets work in the nat table only, and in some of its builtin chains. @throws Complaint */
function checkNatPlace(place: RulePlace, chains: readonly string[]): void {
  const builtin = /^(PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING)$/.test(place.chain);
  if (place.table !== "nat" || (builtin && !chains.includes(place.chain))) throw invalidRule(place);
}

const DST_CHAINS = ["PREROUTING", "OUTPUT"];
const SRC_CHAINS = ["POSTROUTING", "INPUT"];
const PORT_PROTOCOLS = [6, 17, 132, 33];

function demandPortProtocol(context: RuleContext): void {
  if (!context.protocolInverted && PORT_PROTOCOLS.includes(context.protocol)) return;
  throw parameterProblem("Need TCP, UDP, SCTP or DCCP with port specification");
}

function flagsOf(values: OptionValues): Pick<NatRange, "random" | "fullyRandom" | "persistent"> {
  return {
    random: values.has("random"),
    fullyRandom: values.has("random-fully"),
    persistent: values.has("persistent"),
  };
}

function formatFlags(range: NatRange): string {
  let text = "";
  if (range.random) text += " --random";
  if (range.fullyRandom) text += " --random-fully";
  if (range.persistent) text += " --persistent";
  return text;
}

/** `80`, `80-90`, or a base behind a slash where ports are shifted. */
type Ports = Pick<NatRange, "minPort" | "maxPort" | "basePort">;

function parsePort(text: string): number {
  const port = parseUint(text, 0xffff) ?? serviceByName(text);
  if (port === undefined) throw parameterProblem(`Port \`${text}' not valid`);
  return port;
}

function parsePorts(text: string, shiftable: boolean): Ports {
  const [range = "", base] = text.split("/", 2);
  const [low = "", high = low] = range.split("-", 2);
  const minPort = parsePort(low);
  const maxPort = parsePort(high);
  if (maxPort < minPort) throw parameterProblem(`Port range \`${text}' funky`);
  if (base === undefined || !shiftable) return { minPort, maxPort };
  return { minPort, maxPort, basePort: parsePort(base) };
}

function formatPorts({ minPort, maxPort, basePort }: Ports): string {
  if (minPort === undefined) return "";
  const range = minPort === maxPort ? String(minPort) : `${minPort}-${maxPort}`;
  return basePort === undefined ? range : `${range}/${basePort}`;
}

/** Splits `ADDRESSES:PORTS`; of IPv6, brackets are around the addresses. */
function splitEndpoint(text: string, family: IpFamily): [string, string | undefined] {
  if (family === 4) {
    const colon = text.indexOf(":");
    return colon < 0 ? [text, undefined] : [text.slice(0, colon), text.slice(colon + 1)];
  }
  if (!text.startsWith("[")) return [text, undefined];
  const end = text.indexOf("]");
  if (end < 0) throw parameterProblem("Invalid address format");
  const rest = text.slice(end + 1);
  if (rest !== "" && !rest.startsWith(":")) throw parameterProblem("Invalid address format");
  return [text.slice(1, end), rest === "" ? undefined : rest.slice(1)];
}

function parseAddresses(
  text: string,
  family: IpFamily,
): { readonly minAddress?: IpAddress; readonly maxAddress?: IpAddress } {
  if (text === "") return {};
  const [low = "", high = low] = text.split("-", 2);
  const minAddress = parseHost(low, family);
  if (minAddress === undefined) throw parameterProblem(`Bad IP address "${low}"\n`);
  const maxAddress = parseHost(high, family);
  if (maxAddress === undefined) throw parameterProblem(`Bad IP address "${high}"\n`);
  return { minAddress, maxAddress };
}

function formatEndpointRange(range: NatRange, family: IpFamily): string {
  const { minAddress, maxAddress } = range;
  let text = minAddress === undefined ? "" : formatIp(minAddress);
  if (maxAddress !== minAddress && maxAddress !== undefined) text += `-${formatIp(maxAddress)}`;
  const ports = formatPorts(range);
  if (ports === "") return text;
  return family === 6 && text !== "" ? `[${text}]:${ports}` : `${text}:${ports}`;
}

/** SNAT and DNAT. */
function addressExtension(
  name: "SNAT" | "DNAT",
  option: "to-source" | "to-destination",
  translate: Translate,
  chains: readonly string[],
): TargetExtension {
  return {
    name,
    options: [{ name: option, args: 1 }, ...RANDOM_OPTIONS, { name: "persistent", args: 0 }],
    parse(values, context) {
      const { family } = context;
      const [addresses, ports] = splitEndpoint(values.required(option), family);
      if (ports !== undefined) demandPortProtocol(context);
      const range: NatRange = {
        ...parseAddresses(addresses, family),
        ...(ports === undefined ? {} : parsePorts(ports, name === "DNAT")),
        ...flagsOf(values),
      };
      const to = `--${option} ${formatEndpointRange(range, family)}${formatFlags(range)}`;
      return new NatTarget(`-j ${name} ${to}`, range, translate, chains);
    },
  };
}

const RANDOM_OPTIONS: readonly OptionSpec[] = [
  { name: "random", args: 0 },
  { name: "random-fully", args: 0 },
];

export const dnatTarget: TargetExtension = addressExtension(
  "DNAT",
  "to-destination",
  dnat,
  DST_CHAINS,
);
export const snatTarget: TargetExtension = addressExtension("SNAT", "to-source", snat, SRC_CHAINS);

/** MASQUERADE and REDIRECT, where only ports are given. */
function portExtension(
  name: "MASQUERADE" | "REDIRECT",
  options: readonly OptionSpec[],
  translate: Translate,
  chains: readonly string[],
): TargetExtension {
  return {
    name,
    options: [{ name: "to-ports", args: 1 }, ...options],
    parse(values, context) {
      const word = values.word("to-ports");
      if (word !== undefined) demandPortProtocol(context);
      const range: NatRange = {
        ...(word === undefined ? {} : parsePorts(word, false)),
        ...flagsOf(values),
      };
      const to = word === undefined ? "" : ` --to-ports ${formatPorts(range)}`;
      return new NatTarget(`-j ${name}${to}${formatFlags(range)}`, range, translate, chains);
    },
  };
}

export const masqueradeTarget: TargetExtension = portExtension(
  "MASQUERADE",
  RANDOM_OPTIONS,
  masquerade,
  ["POSTROUTING"],
);
export const redirectTarget: TargetExtension = portExtension(
  "REDIRECT",
  [{ name: "random", args: 0 }],
  redirect,
  DST_CHAINS,
);

export const netmapTarget: TargetExtension = {
  name: "NETMAP",
  options: [{ name: "to", args: 1 }],
  parse(values, { family }) {
    const network = parseAddress(values.required("to"), family);
    const prefix: Prefix | undefined = asPrefix(network);
    if (prefix === undefined) throw values.badValue("to", values.required("to"));
    const text = `-j NETMAP --to ${formatAddress(network)}`;
    const translate: Translate = (skb, state) => netmap(skb, state, prefix);
    return new NatTarget(text, {}, translate, [...DST_CHAINS, ...SRC_CHAINS]);
  },
};
