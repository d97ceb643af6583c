import type { CniCall, CniIp, CniPlugin, CniResult } from "@cnilab/core";
import {
  type NetNamespace,
  RT_SCOPE_HOST,
  RT_SCOPE_LINK,
  RT_SCOPE_UNIVERSE,
  Veth,
} from "@cnilab/linux";
import { addressBits, formatIp, formatMac, type IpAddress, Prefix } from "@cnilab/net";
import { addAddress, configureInterface } from "./configure-interface.ts";
import { ipamAdd, ipamCheck, ipamDel, ipamStatus, orRelease } from "./delegate-ipam.ts";
import { deleteInterface } from "./delete-interface.ts";
import { expectAddresses, expectRoutes } from "./expected-state.ts";
import { errnoText, failure } from "./failure.ts";
import { enableForwarding } from "./forwarding.ts";
import { setupIpMasquerade, teardownIpMasquerade } from "./ip-masquerade.ts";
import { addressesOf, networkOf, type ResultAddress } from "./parsed-result.ts";
import { asVersion, CURRENT_VERSION, isDnsSet } from "./result-version.ts";
import { kernelOf, openSandbox } from "./sandbox-netns.ts";
import { setupVeth, type VethPair } from "./setup-veth.ts";

/** An address together with the gateway that ptp cannot do without. */
type Routed = ResultAddress & { readonly gateway: IpAddress };

/** Joins a container to the node by a veth pair and host routes, without a bridge (plugins/main/ptp/ptp.go). */
export const ptp: CniPlugin = {
  type: "ptp",

  add(call: CniCall): CniResult {
    const fromIpam = ipamAdd(call);
    if (fromIpam.ips === undefined || fromIpam.ips.length === 0) {
      throw failure("IPAM plugin returned missing IP config");
    }
    const addresses = addressesOf(fromIpam);
    const host = kernelOf(call).initNs;
    for (const family of [4, 6] as const) {
      if (addresses.some((ip) => networkOf(ip).family === family)) enableForwarding(host, family);
    }
    const veth = orRelease(call, () => attach(call, addresses, fromIpam));
    const dns = isDnsSet(call.config.dns) ? call.config.dns : fromIpam.dns;
    const result: CniResult = {
      cniVersion: CURRENT_VERSION,
      interfaces: [
        { name: veth.host.name, mac: formatMac(veth.host.mac) },
        { name: call.ifName, mac: formatMac(veth.container.mac), sandbox: call.netns },
      ],
      ips: fromIpam.ips.map(({ version: _, ...ip }): CniIp => ({ ...ip, interface: 1 })),
      ...(fromIpam.routes !== undefined && { routes: fromIpam.routes }),
      ...(dns !== undefined && { dns }),
    };
    return asVersion(result, call.config.cniVersion);
  },

  del(call: CniCall): void {
    ipamDel(call);
    const gone = deleteInterface(call);
    if (gone === undefined || gone.length === 0 || call.config["ipMasq"] !== true) return;
    teardownIpMasquerade(kernelOf(call).initNs, gone, {
      network: call.config.name,
      containerId: call.containerId,
      ifName: call.ifName,
    });
  },

  check(call: CniCall): void {
    const sandbox = openSandbox(call);
    ipamCheck(call);
    const result = call.config.prevResult;
    if (result === undefined) throw failure("ptp: Required prevResult missing");
    const inside = result.interfaces?.findLast(
      (i) => i.name === call.ifName && i.sandbox === call.netns,
    );
    if (inside === undefined) {
      throw failure(`Sandbox in prevResult  doesn't match configured netns: ${call.netns}`);
    }
    expectVeth(sandbox, inside.name, inside.mac);
    expectAddresses(sandbox, call.ifName, addressesOf(result));
    expectRoutes(sandbox, result.routes);
  },

  status: ipamStatus,
};

function attach(call: CniCall, addresses: readonly ResultAddress[], fromIpam: CniResult): VethPair {
  const { config, ifName, containerId } = call;
  const sandbox = openSandbox(call);
  const kernel = kernelOf(call);
  const veth = setupVeth(kernel, sandbox, ifName, (config["mtu"] as number | undefined) ?? 0);
  configureInterface(sandbox, ifName, addresses, fromIpam.routes);
  const routed = addresses.map(withGateway);
  for (const ip of routed) routeByGateway(sandbox, veth.container, ip);
  for (const ip of routed) routeToContainer(kernel.initNs, veth.host, ip);
  if (config["ipMasq"] === true) {
    const backend = config["ipMasqBackend"] as string | undefined;
    setupIpMasquerade(kernel.initNs, backend, addresses, {
      network: config.name,
      containerId,
      ifName,
    });
  }
  return veth;
}

function withGateway(ip: ResultAddress): Routed {
  const { gateway } = ip;
  if (gateway === undefined) {
    throw failure(
      `failed to add route {Dst: <nil> Src: ${formatIp(ip.address)}}: invalid argument`,
    );
  }
  return { ...ip, gateway };
}

/**
 * A veth cannot be told to be a point-to-point link. So the network's own route goes, and all but the
 * gateway is reached through the gateway.
 */
function routeByGateway(sandbox: NetNamespace, dev: Veth, ip: Routed): void {
  const network = networkOf(ip);
  const { address: src, gateway } = ip;
  try {
    sandbox.deleteRoute({ dst: network, dev });
  } catch (error) {
    throw failure(`failed to delete route {Dst: ${network}}: ${errnoText(error)}`);
  }
  try {
    sandbox.addRoute({ dst: Prefix.host(gateway), dev, scope: RT_SCOPE_LINK, src });
    sandbox.addRoute({ dst: network, dev, via: gateway, scope: RT_SCOPE_UNIVERSE, src });
  } catch (error) {
    throw failure(
      `failed to add route {Dst: ${network} Src: ${formatIp(src)} Gw: ${formatIp(gateway)}}: ${errnoText(error)}`,
    );
  }
}

/** The gateway's address on this end, and the way to the container through it. */
function routeToContainer(host: NetNamespace, dev: Veth, { address, gateway }: Routed): void {
  const length = addressBits(typeof address === "number" ? 4 : 6);
  addAddress(dev, { address: gateway, length }, () => "failed to add IP addr to veth");
  const dst = Prefix.host(address);
  if (host.fib(dst.family).main.routesTo(dst).length > 0) return; // EEXIST is accepted
  try {
    host.addRoute({ dst, dev, scope: dst.family === 4 ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE });
  } catch (error) {
    throw failure(`failed to add route on host: ${errnoText(error)}`);
  }
}

function expectVeth(sandbox: NetNamespace, name: string, mac: string | undefined): void {
  const dev = sandbox.findDevice(name);
  if (dev === undefined) {
    throw failure(`ptp: Container Interface name in prevResult: ${name} not found`);
  }
  if (!(dev instanceof Veth)) {
    throw failure(`Error: Container interface ${name} not of type veth/p2p`);
  }
  const own = formatMac(dev.mac);
  if (mac && mac !== own) {
    throw failure(`ptp: Interface ${name} Mac ${mac} doesn't match container Mac: ${own}`);
  }
}
