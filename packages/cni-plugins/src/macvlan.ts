import type { CniCall, CniIp, CniPlugin, CniResult } from "@cnilab/core";
import {
  Macvlan,
  type MacvlanMode,
  type NetDevice,
  type NetNamespace,
  RT_TABLE_MAIN,
} from "@cnilab/linux";
import { formatMac } from "@cnilab/net";
import { readCniArgs } from "./cni-args.ts";
import { configureInterface } from "./configure-interface.ts";
import { ipamAdd, ipamCheck, ipamDel, ipamStatus, ipamType, orRelease } from "./delegate-ipam.ts";
import { deleteInterface } from "./delete-interface.ts";
import { expectAddresses, expectRoutes } from "./expected-state.ts";
import { errnoText, failure, LINK_NOT_FOUND } from "./failure.ts";
import { quote } from "./go-text.ts";
import { addressesOf } from "./parsed-result.ts";
import { asVersion, CURRENT_VERSION, isDnsSet } from "./result-version.ts";
import { kernelOf, openSandbox } from "./sandbox-netns.ts";
import { isDeviceMac, parseMac, randomVethName } from "./setup-veth.ts";

interface MacvlanConfig {
  /** The device of the host, or of the container where `linkInContainer` is set. */
  readonly master: NetDevice;
  readonly mode: string;
  /** 0 for the master's. */
  readonly mtu: number;
  readonly mac: string | undefined;
}

/** Gives a container a device with a MAC of its own on top of one of the host's (plugins/main/macvlan). */
export const macvlan: CniPlugin = {
  type: "macvlan",

  add(call: CniCall): CniResult {
    const config = loadMacvlanConfig(call);
    const sandbox = openSandbox(call);
    const dev = createMacvlan(call, config, sandbox);
    const { dns } = call.config;
    const result: CniResult = {
      cniVersion: CURRENT_VERSION,
      interfaces: [{ name: call.ifName, mac: formatMac(dev.mac), sandbox: call.netns }],
      ...(ipamType(call) === "" ? layer2(dev) : layer3(call, sandbox)),
      ...(isDnsSet(dns) && { dns }),
    };
    return asVersion(result, call.config.cniVersion);
  },

  del(call: CniCall): void {
    if (ipamType(call) !== "") ipamDel(call);
    deleteInterface(call);
  },

  check(call: CniCall): void {
    const { mode } = loadMacvlanConfig(call);
    const sandbox = openSandbox(call);
    if (ipamType(call) !== "") ipamCheck(call);
    const result = call.config.prevResult;
    if (result === undefined) throw failure("required prevResult missing");
    const inside = result.interfaces?.findLast(
      (i) => i.name === call.ifName && i.sandbox === call.netns,
    );
    if (inside === undefined) {
      throw failure(`sandbox in prevResult  doesn't match configured netns: ${call.netns}`);
    }
    expectMacvlan(sandbox, inside.name, inside.mac, modeOf(mode));
    expectAddresses(sandbox, call.ifName, addressesOf(result));
    expectRoutes(sandbox, result.routes);
  },

  status(call: CniCall): void {
    if (ipamType(call) !== "") ipamStatus(call);
  },
};

function layer2(dev: Macvlan): Partial<CniResult> {
  dev.setUp();
  return {};
}

function layer3(call: CniCall, sandbox: NetNamespace): Partial<CniResult> {
  // Where IPAM fails, the device stays until DEL: the real one tests a variable that is shadowed.
  const fromIpam = ipamAdd(call);
  if (fromIpam.ips === undefined || fromIpam.ips.length === 0) {
    throw failure("IPAM plugin returned missing IP config");
  }
  const { sysctl } = sandbox;
  orRelease(call, () => {
    sysctl.set(`net/ipv4/conf/${call.ifName}/arp_notify`, 1);
    sysctl.set(`net/ipv6/conf/${call.ifName}/ndisc_notify`, 1);
    configureInterface(sandbox, call.ifName, addressesOf(fromIpam), fromIpam.routes);
  });
  return {
    ips: fromIpam.ips.map(({ version: _, ...ip }): CniIp => ({ ...ip, interface: 0 })),
    ...(fromIpam.routes !== undefined && { routes: fromIpam.routes }),
  };
}

/** @throws CniError */
function loadMacvlanConfig(call: CniCall): MacvlanConfig {
  const { config, args } = call;
  const where = config["linkInContainer"] === true ? openSandbox(call) : kernelOf(call).initNs;
  const name = (config["master"] as string | undefined) || defaultRouteDevice(where);
  const master = where.findDevice(name);
  if (master === undefined) throw failure(LINK_NOT_FOUND);
  const mtu = (config["mtu"] as number | undefined) ?? 0;
  if (mtu < 0 || mtu > master.mtu) {
    throw failure(`invalid MTU ${mtu}, must be [0, master MTU(${master.mtu})]`);
  }
  const fromArgs = args === "" ? undefined : readCniArgs(args, ["MAC"]).MAC;
  const mac = config.runtimeConfig?.["mac"] || fromArgs || config["mac"];
  return {
    master,
    mode: (config["mode"] as string | undefined) ?? "",
    mtu,
    mac: (mac as string | undefined) || undefined,
  };
}

function defaultRouteDevice(netns: NetNamespace): string {
  for (const family of [4, 6] as const) {
    for (const route of netns.fib(family).table(RT_TABLE_MAIN).routes()) {
      const dev = route.nexthops[0]?.dev;
      if (route.prefix.length === 0 && dev !== undefined) return dev.name;
    }
  }
  throw failure("no default route interface found");
}

function createMacvlan(call: CniCall, config: MacvlanConfig, sandbox: NetNamespace): Macvlan {
  const { master, mtu, mac } = config;
  const mode = modeOf(config.mode);
  // A name that is taken on the host must not matter: made under another one, and renamed inside.
  const name = randomVethName(kernelOf(call));
  const own = mac === undefined ? undefined : parseMac(mac, `invalid args ${mac} for MAC addr: `);
  if (own !== undefined && !isDeviceMac(own)) {
    throw failure("failed to create macvlan: cannot assign requested address");
  }
  let dev: Macvlan;
  try {
    dev = new Macvlan(sandbox, {
      name,
      lower: master,
      mode,
      ...(mtu > 0 && { mtu }),
      ...(own !== undefined && { mac: own }),
    });
  } catch (error) {
    throw failure(`failed to create macvlan: ${errnoText(error)}`);
  }
  try {
    dev.rename(call.ifName);
  } catch (error) {
    dev.remove();
    throw failure(`failed to rename macvlan to ${quote(call.ifName)}: ${errnoText(error)}`);
  }
  return dev;
}

function modeOf(text: string): MacvlanMode {
  if (text === "") return "bridge";
  if (text === "bridge" || text === "private" || text === "vepa" || text === "passthru")
    return text;
  throw failure(`unknown macvlan mode: ${quote(text)}`);
}

function expectMacvlan(
  sandbox: NetNamespace,
  name: string,
  mac: string | undefined,
  mode: MacvlanMode,
): void {
  const dev = sandbox.findDevice(name);
  if (dev === undefined) {
    throw failure(`container Interface name in prevResult: ${name} not found`);
  }
  if (!(dev instanceof Macvlan)) {
    throw failure(`error: Container interface ${name} not of type macvlan`);
  }
  if (dev.mode !== mode) {
    throw failure(`container macvlan mode ${dev.mode} does not match expected value: ${mode}`);
  }
  const own = formatMac(dev.mac);
  if (mac && mac !== own) {
    throw failure(`interface ${name} Mac ${mac} doesn't match container Mac: ${own}`);
  }
}
