import type { CniCall, CniPlugin, CniResult } from "@cnilab/core";
import { KernelError, type NetDevice, type NetNamespace } from "@cnilab/linux";
import { formatMac, tryParseMac } from "@cnilab/net";
import { readCniArgs } from "./cni-args.ts";
import { errnoText, failure } from "./failure.ts";
import { quote } from "./go-text.ts";
import { asVersion } from "./result-version.ts";
import { enterSandbox, findSandbox } from "./sandbox-netns.ts";
import { isValidMtu, parseMac } from "./setup-veth.ts";

const DEFAULT_DATA_DIR = "/run/cni/tuning";
/** Regular expressions for the sysctls that may be written; all where there is no such file. */
const ALLOWLIST = "/etc/cni/tuning/allowlist.conf";

interface TuningConfig {
  readonly dataDir: string;
  readonly sysctl: Readonly<Record<string, string>>;
  readonly mac: string | undefined;
  readonly promisc: boolean;
  /** 0 to leave it. */
  readonly mtu: number;
  readonly allmulti: boolean | undefined;
  readonly txQLen: number | undefined;
}

/** What DEL puts back; the file's own names. */
interface Backup {
  readonly mac?: string;
  readonly promisc?: boolean;
  readonly mtu?: number;
  readonly allmulti?: boolean;
  readonly txQLen?: number;
}

/** Changes sysctls and attributes of the container's interface (plugins/meta/tuning). */
export const tuning: CniPlugin = {
  type: "tuning",

  add(call: CniCall): CniResult {
    const config = loadTuningConfig(call);
    refuseForbidden(call, config);
    if (call.ifName.includes("/")) {
      throw failure(`Interface name (${call.ifName}) contains an invalid character /`);
    }
    const { prevResult, cniVersion } = call.config;
    if (prevResult === undefined) throw failure("Required prevResult missing");
    const sandbox = enterSandbox(call);
    for (const [key, value] of Object.entries(config.sysctl)) {
      writeSysctl(sandbox, sysctlPath(key, call.ifName), value);
    }
    if (!changesInterface(config)) return asVersion(prevResult, cniVersion);
    const dev = findInterface(sandbox, call.ifName);
    call.host.files.write(backupPath(call, config), JSON.stringify(backupOf(dev, config), null, 1));
    change(dev, config);
    return asVersion(withMac(prevResult, call.ifName, config.mac), cniVersion);
  },

  /** Whatever goes wrong is nobody's concern any more. */
  del(call: CniCall): void {
    const config = loadTuningConfig(call);
    const dev = findSandbox(call)?.findDevice(call.ifName);
    const path = backupPath(call, config);
    const text = call.host.files.read(path);
    if (dev === undefined || text === undefined) return;
    if (restore(dev, JSON.parse(text) as Backup)) call.host.files.remove(path);
  },

  check(call: CniCall): void {
    const config = loadTuningConfig(call);
    if (call.config.prevResult === undefined) throw failure("Required prevResult missing");
    const sandbox = enterSandbox(call);
    for (const [key, value] of Object.entries(config.sysctl)) {
      const path = sysctlPath(key, call.ifName);
      const current = readSysctl(sandbox, path);
      if (current !== value) {
        throw failure(
          `Error: Tuning configured value of ${path} is ${value}, current value is ${current}`,
        );
      }
    }
    const dev = sandbox.findDevice(call.ifName);
    if (dev === undefined) throw failure(`Cannot find container link ${call.ifName}`);
    checkInterface(dev, config);
  },
};

/** @throws CniError */
function loadTuningConfig({ config, args }: CniCall): TuningConfig {
  const fromArgs = args === "" ? undefined : readCniArgs(args, ["MAC"]).MAC;
  const inArgs = config.args?.cni ?? {};
  const mac = inArgs["mac"] ?? (config.runtimeConfig?.["mac"] || fromArgs || config["mac"]);
  const sysctl = config["sysctl"] as Readonly<Record<string, string>> | undefined;
  return {
    dataDir: (config["dataDir"] as string | undefined) || DEFAULT_DATA_DIR,
    sysctl: { ...sysctl, ...(inArgs["sysctl"] as Readonly<Record<string, string>> | undefined) },
    mac: (mac as string | undefined) || undefined,
    promisc: (inArgs["promisc"] ?? config["promisc"]) === true,
    mtu: ((inArgs["mtu"] ?? config["mtu"]) as number | undefined) ?? 0,
    allmulti: (inArgs["allmulti"] ?? config["allmulti"]) as boolean | undefined,
    txQLen: (inArgs["txQLen"] ?? config["txQLen"]) as number | undefined,
  };
}

function refuseForbidden(call: CniCall, { sysctl }: TuningConfig): void {
  const text = call.host.files.read(ALLOWLIST);
  if (text === undefined) return;
  const allowed = text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  for (const key of Object.keys(sysctl)) {
    if (!allowed.some((pattern) => new RegExp(pattern).test(key))) {
      throw failure(
        `Sysctl ${key} is not allowed. Only the following sysctls are allowed: [${allowed.join(" ")}]`,
      );
    }
  }
}

/** The file below /proc/sys. Every dot is a slash, so devices with dots in their names are out of reach. @throws CniError */
function sysctlPath(key: string, ifName: string): string {
  const slashed = key.replaceAll(".", "/").replace("IFNAME", ifName);
  const parts: string[] = [];
  for (const part of slashed.split("/")) if (part !== "") parts.push(part);
  if (parts[0] !== "net" || parts.length < 2)
    throw failure(`invalid net sysctl key: ${quote(slashed)}`);
  return `/proc/sys/${parts.join("/")}`;
}

function writeSysctl(sandbox: NetNamespace, path: string, value: string): void {
  try {
    sandbox.sysctl.set(path.slice("/proc/sys/".length), value);
  } catch (error) {
    const call = error instanceof KernelError && error.errno === "ENOENT" ? "open" : "write";
    throw failure(`${call} ${path}: ${errnoText(error)}`);
  }
}

function readSysctl(sandbox: NetNamespace, path: string): string {
  try {
    return sandbox.sysctl.getText(path.slice("/proc/sys/".length));
  } catch (error) {
    throw failure(`open ${path}: ${errnoText(error)}`);
  }
}

function changesInterface({ mac, mtu, promisc, allmulti, txQLen }: TuningConfig): boolean {
  return (
    mac !== undefined || mtu !== 0 || promisc || allmulti !== undefined || txQLen !== undefined
  );
}

function findInterface(sandbox: NetNamespace, name: string): NetDevice {
  const dev = sandbox.findDevice(name);
  if (dev === undefined) throw failure(`failed to get ${quote(name)}: Link not found`);
  return dev;
}

function backupPath({ containerId, ifName }: CniCall, { dataDir }: TuningConfig): string {
  return `${dataDir}/${containerId}_${ifName}.json`;
}

function backupOf(dev: NetDevice, config: TuningConfig): Backup {
  return {
    ...(config.mac !== undefined && { mac: formatMac(dev.mac) }),
    ...(config.promisc && { promisc: dev.promiscuity !== 0 }),
    ...(config.mtu !== 0 && { mtu: dev.mtu }),
    ...(config.allmulti !== undefined && { allmulti: dev.allMulticast }),
    ...(config.txQLen !== undefined && { txQLen: dev.txQueueLength }),
  };
}

function change(dev: NetDevice, config: TuningConfig): void {
  if (config.mac !== undefined) {
    const mac = parseMac(config.mac, `invalid args ${config.mac} for MAC addr: `);
    attempt(() => dev.setMac(mac));
  }
  if (config.promisc) dev.setPromiscuous(true);
  if (config.mtu !== 0) {
    if (!isValidMtu(config.mtu)) throw failure("invalid argument");
    attempt(() => dev.setMtu(config.mtu));
  }
  if (config.allmulti !== undefined) dev.allMulticast = config.allmulti;
  if (config.txQLen !== undefined) dev.txQueueLength = config.txQLen;
}

function attempt(what: () => void): void {
  try {
    what();
  } catch (error) {
    throw failure(errnoText(error));
  }
}

/** Whether all of it could be put back. */
function restore(dev: NetDevice, backup: Backup): boolean {
  try {
    if (backup.mtu) dev.setMtu(backup.mtu);
    const mac = backup.mac ? tryParseMac(backup.mac) : undefined;
    if (mac !== undefined) dev.setMac(mac);
    if (backup.promisc !== undefined) dev.setPromiscuous(backup.promisc);
    if (backup.allmulti !== undefined) dev.allMulticast = backup.allmulti;
    if (backup.txQLen !== undefined) dev.txQueueLength = backup.txQLen;
    return true;
  } catch (error) {
    if (error instanceof KernelError) return false;
    throw error;
  }
}

function withMac(result: CniResult, ifName: string, mac: string | undefined): CniResult {
  if (mac === undefined || result.interfaces === undefined) return result;
  return {
    ...result,
    interfaces: result.interfaces.map((i) => (i.name === ifName ? { ...i, mac } : i)),
  };
}

function checkInterface(dev: NetDevice, config: TuningConfig): void {
  const { name } = dev;
  const mac = formatMac(dev.mac);
  if (config.mac !== undefined && config.mac !== mac) {
    throw failure(
      `Error: Tuning configured Ethernet of ${name} is ${config.mac}, current value is ${mac}`,
    );
  }
  if (config.promisc !== (dev.promiscuity !== 0)) {
    throw failure(
      `Error: Tuning link ${name} configured promisc is ${config.promisc}, current value is ${dev.promiscuity}`,
    );
  }
  if (config.mtu !== 0 && config.mtu !== dev.mtu) {
    throw failure(
      `Error: Tuning configured MTU of ${name} is ${config.mtu}, current value is ${dev.mtu}`,
    );
  }
  if (config.allmulti !== undefined && config.allmulti !== dev.allMulticast) {
    throw failure(
      `Error: Tuning configured all-multicast mode of ${name} is ${config.allmulti}, current value is ${dev.allMulticast}`,
    );
  }
  if (config.txQLen !== undefined && config.txQLen !== dev.txQueueLength) {
    throw failure(
      `Error: Tuning configured Transmit Queue Length of ${name} is ${config.txQLen}, current value is ${dev.txQueueLength}`,
    );
  }
}
