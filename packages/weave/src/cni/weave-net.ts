import {
  CNI_ERROR,
  type CniCall,
  CniError,
  type CniIp,
  type CniPlugin,
  type CniResult,
  type CniRoute,
} from "@cnilab/core";
import { Bridge, type Kernel, KernelError, type NetNamespace } from "@cnilab/linux";
import {
  formatIp,
  type InterfaceAddress,
  type IpAddress,
  Prefix,
  tryParseInterfaceAddress,
  tryParseIp,
} from "@cnilab/net";
import { WEAVE_BRIDGE } from "../bridge/bridge-rules.ts";
import { attachContainer } from "../net/attach-container.ts";
import { expose } from "../net/expose.ts";
import type { WeaverApi } from "../weaver/weaver-api.ts";

/** The IPAM plugin, which asks weaver; weave-net does the same where its configuration names none. */
export const WEAVE_IPAM = "weave-ipam";
/** Shorter ones are no containers' ids. */
const SHORTEST_ID = 5;

/** The plugin weave-net (plugin/net/cni.go): an address from weaver, a veth to the bridge, a default route by the bridge. */
export class WeaveNet implements CniPlugin {
  readonly type = "weave-net";
  readonly supportedVersions: readonly string[] = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0"];
  readonly #weaver: WeaverApi;

  constructor(weaver: WeaverApi) {
    this.#weaver = weaver;
  }

  add(call: CniCall): CniResult {
    const { config, containerId } = call;
    if (config["isGateway"] === true) throw failure("Gateway functionality not supported");
    if (config["ipMasq"] === true) throw failure("IP Masquerading functionality not supported");
    const kernel = call.host as Kernel;
    const { ip, routes } = this.#address(call);
    const address = tryParseInterfaceAddress(ip.address) as InterfaceAddress;
    const bridge = this.#bridge(kernel, config["bridge"]);
    const sandbox = kernel.findNamespace(call.netns);
    if (sandbox === undefined) {
      throw failure(`error accessing namespace "${call.netns}": no such file or directory`);
    }
    let gateway = ip.gateway === undefined ? undefined : tryParseIp(ip.gateway);
    if (gateway === undefined && routes.length === 0) gateway = this.#gateway(bridge, address);
    try {
      attachContainer({
        bridge,
        sandbox,
        id: containerId.length < SHORTEST_ID ? randomId(kernel) : containerId,
        ifName: call.ifName,
        mtu: Number(config["mtu"] ?? 0),
        hairpinMode: config["hairpinMode"] !== false,
        address,
      });
      setUpRoutes(sandbox, call.ifName, address, gateway, routes);
    } catch (error) {
      if (error instanceof KernelError) throw failure(error.message);
      throw error;
    }
    return {
      cniVersion: config.cniVersion,
      ips: [{ ...ip, ...(gateway !== undefined && { gateway: formatIp(gateway) }) }],
      ...(routes.length > 0 && { routes }),
      ...(config.dns !== undefined && { dns: config.dns }),
    };
  }

  /** Parts that are missing are no error; the address is given back in any case. */
  del(call: CniCall): void {
    (call.host as Kernel).findNamespace(call.netns)?.findDevice(call.ifName)?.remove();
    call.delegate(ipamType(call), "DEL", withIpam(call));
  }

  /** What it supports has no CHECK before 0.4.0, and there it looks at nothing. */
  check(): void {}

  #address(call: CniCall): { readonly ip: CniIp; readonly routes: readonly CniRoute[] } {
    let result: CniResult | undefined;
    try {
      result = call.delegate(ipamType(call), "ADD", withIpam(call));
    } catch (error) {
      throw inWords(error, "unable to allocate IP address");
    }
    const [ip] = result?.ips ?? [];
    if (ip === undefined) {
      throw failure("unable to allocate IP address: IPAM plugin failed to allocate IP address");
    }
    return { ip, routes: result?.routes ?? [] };
  }

  #bridge(kernel: Kernel, name: unknown = WEAVE_BRIDGE): Bridge {
    const bridge = kernel.initNs.findDevice(String(name));
    if (bridge instanceof Bridge) return bridge;
    throw failure(`bridge "${name}" not present; did you launch weave?`);
  }

  /** The bridge's address, which it gets when it has none (net/bridge.go FindBridgeIP). */
  #gateway(bridge: Bridge, { address, length }: InterfaceAddress): IpAddress {
    const own = bridge.addresses4.map((a) => a.address);
    const subnet = new Prefix(address, length);
    const found = own.find((a) => subnet.contains(a)) ?? own[0];
    if (found !== undefined) return found;
    try {
      const given = this.#weaver.addressOf("weave:expose");
      expose(bridge.netns, given, this.#weaver.expectsNpc);
      return given.address;
    } catch (error) {
      throw inWords(error, "unable to allocate IP address for bridge");
    }
  }
}

function ipamType({ config }: CniCall): string {
  return config.ipam?.type ?? WEAVE_IPAM;
}

function withIpam(call: CniCall): CniCall["config"] {
  return { ...call.config, ipam: { ...call.config.ipam, type: ipamType(call) } };
}

/** A default route where the configuration says nothing, by way of a route to the gateway where that is not in the subnet. */
function setUpRoutes(
  sandbox: NetNamespace,
  ifName: string,
  { address, length }: InterfaceAddress,
  gateway: IpAddress | undefined,
  routes: readonly CniRoute[],
): void {
  const dev = sandbox.device(ifName);
  const add = (dst: Prefix, via: IpAddress | undefined) => {
    try {
      sandbox.addRoute({ dst, dev, ...(via === undefined ? { scope: 253 } : { via }) });
    } catch (error) {
      if (!(error instanceof KernelError) || error.errno !== "EEXIST") throw error;
    }
  };
  if (routes.length === 0) {
    if (gateway === undefined) return;
    if (!new Prefix(address, length).contains(gateway)) add(Prefix.host(gateway), undefined);
    add(new Prefix(0, 0), gateway);
    return;
  }
  for (const { dst, gw } of routes) {
    const { address: to, length: bits } = tryParseInterfaceAddress(dst) as InterfaceAddress;
    add(new Prefix(to, bits), gw === undefined ? gateway : tryParseIp(gw));
  }
}

/** The same error, told of what was to be done; one that waits goes on waiting. */
function inWords(error: unknown, what: string): unknown {
  if (!(error instanceof CniError) || error.code === CNI_ERROR.tryAgainLater) return error;
  return failure(`${what}: ${error.message}`);
}

function randomId(kernel: Kernel): string {
  const { random } = kernel;
  return random.uint32().toString(16).padStart(8, "0");
}

function failure(message: string): CniError {
  return new CniError(CNI_ERROR.generic, message);
}
