import type { Origin } from "@cnilab/core";
import { IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP, type IpAddress, tryParseIp } from "@cnilab/net";
import { KernelError } from "../kernel-error.ts";
import { serviceByName } from "../netfilter/service-names.ts";
import type { ForwardingMethod, IpVsDestSpec } from "./ip-vs-dest.ts";
import type { IpVsService, IpVsServiceKey, IpVsServiceSettings } from "./ip-vs-service.ts";
import { IP_VS_SVC_F_ONEPACKET, IP_VS_SVC_F_PERSISTENT } from "./ip-vs-service-flags.ts";
import type { Ipvs } from "./ipvs.ts";
import { IpvsadmError } from "./ipvsadm-error.ts";
import { schedulerFlag } from "./ipvsadm-save.ts";
import { isSchedulerName } from "./scheduler.ts";

/** Seconds of `-p` without a number. */
const DEFAULT_PERSISTENCE = 360;
const DEFAULT_SCHEDULER = "wlc";

type Command =
  | "add-service"
  | "edit-service"
  | "delete-service"
  | "add-server"
  | "edit-server"
  | "delete-server"
  | "clear"
  | "zero"
  | "set";

const COMMANDS: Readonly<Record<string, Command>> = {
  "-A": "add-service",
  "-E": "edit-service",
  "-D": "delete-service",
  "-a": "add-server",
  "-e": "edit-server",
  "-d": "delete-server",
  "-C": "clear",
  "-Z": "zero",
  "--set": "set",
};

/** Long names of options, by their short ones. */
const OPTIONS: Readonly<Record<string, string>> = {
  "--tcp-service": "-t",
  "--udp-service": "-u",
  "--fwmark-service": "-f",
  "--ipv6": "-6",
  "--scheduler": "-s",
  "--sched-flags": "-b",
  "--persistent": "-p",
  "--netmask": "-M",
  "--ops": "-o",
  "--real-server": "-r",
  "--gatewaying": "-g",
  "--ipip": "-i",
  "--masquerading": "-m",
  "--weight": "-w",
  "--u-threshold": "-x",
  "--l-threshold": "-y",
  "--numeric": "-n",
};

const PROTOCOLS: Readonly<Record<string, number>> = {
  "-t": IPPROTO_TCP,
  "-u": IPPROTO_UDP,
  "--sctp-service": IPPROTO_SCTP,
};

/** Does what a command line of ipvsadm says, without the program's name. @throws IpvsadmError */
export function ipvsadm(ipvs: Ipvs, line: string, origin?: Origin): void {
  const call = parse(line.trim().split(/\s+/));
  try {
    run(ipvs, call, origin);
  } catch (error) {
    if (error instanceof KernelError) throw new IpvsadmError(refusal(call.command, error), true);
    throw error;
  }
}

/**
 * Does what `ipvsadm -R` does with what `ipvsadm -S` has saved: one command after the other, until one
 * fails. What was done before stays. @throws IpvsadmError
 */
export function restoreIpvs(ipvs: Ipvs, text: string, origin?: Origin): void {
  for (const [i, line] of text.split("\n").entries()) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    try {
      ipvsadm(ipvs, line, origin);
    } catch (error) {
      if (!(error instanceof IpvsadmError)) throw error;
      throw new IpvsadmError(error.message, error.fromKernel, i + 1);
    }
  }
}

/** A command line, taken apart. */
interface Call {
  readonly command: Command;
  /** `undefined` where none is named. */
  key: IpVsServiceKey | undefined;
  ipv6: boolean;
  scheduler: string;
  flags: number;
  timeout: number;
  prefixLength: number | undefined;
  server: { readonly address: IpAddress; readonly port: number | undefined } | undefined;
  forwarding: ForwardingMethod;
  weight: number;
  upperThreshold: number;
  lowerThreshold: number;
  /** What `--set` is followed by. */
  numbers: number[];
}

function parse(words: readonly string[]): Call {
  const [first = ""] = words;
  const command = COMMANDS[first] ?? Object.values(COMMANDS).find((name) => `--${name}` === first);
  if (command === undefined) {
    throw new IpvsadmError("Try `ipvsadm -h' or 'ipvsadm --help' for more information.");
  }
  const call: Call = {
    command,
    key: undefined,
    ipv6: words.includes("-6") || words.includes("--ipv6"),
    scheduler: DEFAULT_SCHEDULER,
    flags: 0,
    timeout: 0,
    prefixLength: undefined,
    server: undefined,
    forwarding: "droute",
    weight: 1,
    upperThreshold: 0,
    lowerThreshold: 0,
    numbers: [],
  };
  const rest = words.slice(1);
  while (rest.length > 0) parseOption(call, rest);
  return call;
}

/** Takes one option, and its value where it has one, off the front. */
function parseOption(call: Call, rest: string[]): void {
  const word = rest.shift() as string;
  const option = OPTIONS[word] ?? word;
  const value = (): string => {
    const next = rest.shift();
    if (next === undefined) throw new IpvsadmError(`${word}: option requires an argument`);
    return next;
  };
  const protocol = PROTOCOLS[option];
  if (protocol !== undefined) {
    call.key = { protocol, ...virtualServer(value()) };
    return;
  }
  switch (option) {
    case "-f": {
      const fwmark = number(value(), 1, 0xffffffff, "illegal firewall mark specified");
      call.key = { fwmark, family: call.ipv6 ? 6 : 4 };
      return;
    }
    case "-6":
    case "-n":
      return;
    case "-s":
      call.scheduler = value();
      return;
    case "-b":
      call.flags |= flagsOf(value());
      return;
    case "-p":
      call.flags |= IP_VS_SVC_F_PERSISTENT;
      call.timeout = DEFAULT_PERSISTENCE;
      if (rest.length > 0 && !rest[0]?.startsWith("-")) {
        const text = value();
        call.timeout = number(
          text,
          1,
          31 * 24 * 3600,
          `invalid timeout value \`${text}' specified`,
        );
      }
      return;
    case "-M":
      call.prefixLength = prefixLength(value());
      return;
    case "-o":
      call.flags |= IP_VS_SVC_F_ONEPACKET;
      return;
    case "-r":
      call.server = realServer(value());
      return;
    case "-g":
      call.forwarding = "droute";
      return;
    case "-m":
      call.forwarding = "masq";
      return;
    case "-i":
      throw new IpvsadmError("tunnelling to real servers (-i) is not modelled");
    case "-w":
      call.weight = number(value(), 0, 65_535, "illegal weight specified");
      return;
    case "-x":
      call.upperThreshold = number(value(), 0, 0x7fffffff, "illegal u_threshold specified");
      return;
    case "-y":
      call.lowerThreshold = number(value(), 0, 0x7fffffff, "illegal l_threshold specified");
      return;
    default:
      if (call.command !== "set") throw new IpvsadmError(`unexpected argument ${word}`);
      call.numbers.push(number(word, 0, 0x7fffffff, "invalid timeout value specified"));
  }
}

function run(ipvs: Ipvs, call: Call, origin: Origin | undefined): void {
  const { command } = call;
  if (command === "clear") {
    ipvs.flush();
    return;
  }
  if (command === "set") {
    const [tcp = 0, tcpFin = 0, udp = 0] = call.numbers;
    ipvs.timeouts = { tcp, tcpFin, udp };
    return;
  }
  const { key } = call;
  if (key === undefined) {
    if (command === "zero") ipvs.zero();
    else throw missing("service-address", command);
    return;
  }
  if (command === "add-service") {
    ipvs.addService(key, settings(call, key), origin);
    return;
  }
  const service = ipvs.findService(key);
  if (service === undefined) throw new IpvsadmError(noService(command), true);
  switch (command) {
    case "edit-service":
      ipvs.editService(service, settings(call, key));
      return;
    case "delete-service":
      ipvs.deleteService(service);
      return;
    case "zero":
      ipvs.zero(service);
      return;
    case "add-server":
      ipvs.addDest(service, destSpec(call, service));
      return;
    case "edit-server":
      ipvs.editDest(service, destSpec(call, service));
      return;
    case "delete-server": {
      const { address, port } = destSpec(call, service);
      ipvs.deleteDest(service, address, port);
    }
  }
}

function settings(call: Call, key: IpVsServiceKey): IpVsServiceSettings {
  const { scheduler, flags, timeout, prefixLength } = call;
  if (!isSchedulerName(scheduler)) {
    throw new IpvsadmError("Scheduler or persistence engine not found", true);
  }
  if ("port" in key && key.port === 0 && (flags & IP_VS_SVC_F_PERSISTENT) === 0) {
    throw new IpvsadmError("Zero port specified for non-persistent service");
  }
  return { scheduler, flags, timeout, ...(prefixLength === undefined ? {} : { prefixLength }) };
}

/** A server without a port has its service's, and has it always unless it is masqueraded. */
function destSpec(call: Call, service: IpVsService): IpVsDestSpec {
  const { server, forwarding, weight, upperThreshold, lowerThreshold } = call;
  if (server === undefined) throw missing("real-server", call.command);
  if ((typeof server.address === "number" ? 4 : 6) !== service.family) {
    throw new IpvsadmError("Different address family is allowed only for tunneling servers");
  }
  const keepsPort = forwarding === "masq" || call.command === "delete-server";
  const port = keepsPort ? (server.port ?? service.port) : service.port;
  return { address: server.address, port, forwarding, weight, upperThreshold, lowerThreshold };
}

function missing(option: string, command: Command): IpvsadmError {
  return new IpvsadmError(`You need to supply the '${option}' option for the '${command}' command`);
}

function noService(command: Command): string {
  return command.endsWith("-server") ? "Service not defined" : "No such service";
}

/** The tool's words for the kernel's error number, by command (libipvs `ipvs_strerror`). */
function refusal(command: Command, { errno }: KernelError): string {
  const isServer = command.endsWith("-server");
  if (errno === "EEXIST") return isServer ? "Destination already exists" : "Service already exists";
  if (errno === "ENOENT") return "No such destination";
  if (errno === "ERANGE") return "Numerical result out of range";
  return "Invalid operation.  Possibly wrong module version, address not unicast, ...";
}

function virtualServer(text: string): { readonly address: IpAddress; readonly port: number } {
  const end = endpoint(text);
  if (end === undefined) {
    throw new IpvsadmError("illegal virtual server address[:port] specified");
  }
  return { address: end.address, port: end.port ?? 0 };
}

function realServer(text: string): NonNullable<Call["server"]> {
  const end = endpoint(text);
  if (end === undefined) throw new IpvsadmError("illegal real server address[:port] specified");
  return end;
}

/** `10.0.0.1:80`, `10.0.0.1:http`, `10.0.0.1`, `[fd00::1]:80`, `fd00::1` */
function endpoint(text: string): Call["server"] {
  const bare = tryParseIp(text);
  if (bare !== undefined) return { address: bare, port: undefined };
  const [, v6, v4, portText] = /^(?:\[([^\]]+)\]|([^:]+))(?::([\w-]+))?$/.exec(text) ?? [];
  const address = tryParseIp(v6 ?? v4 ?? "");
  if (address === undefined || (typeof address === "number") !== (v6 === undefined)) {
    return undefined;
  }
  if (portText === undefined) return { address, port: undefined };
  const port = /^\d+$/.test(portText) ? Number(portText) : serviceByName(portText);
  return port === undefined || port > 0xffff ? undefined : { address, port };
}

function flagsOf(text: string): number {
  let flags = 0;
  for (const name of text.split(",").filter((word) => word !== "")) {
    const flag = schedulerFlag(name);
    if (flag === undefined) throw new IpvsadmError(`invalid scheduler flag \`${name}'`);
    flags |= flag;
  }
  return flags;
}

/** A mask of leading bits, for IPv6 their number. */
function prefixLength(text: string): number {
  if (/^\d+$/.test(text)) return number(text, 1, 128, "illegal ipv6 netmask specified");
  const mask = tryParseIp(text);
  if (typeof mask !== "number") throw new IpvsadmError("illegal netmask specified");
  const length = Math.clz32(~mask);
  if ((mask << length) >>> 0 !== 0 && length < 32) {
    throw new IpvsadmError("netmasks with gaps are not modelled");
  }
  return length;
}

function number(text: string, min: number, max: number, complaint: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max)) throw new IpvsadmError(complaint);
  return value;
}
