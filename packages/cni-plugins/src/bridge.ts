import type { CniCall, CniInterface, CniIp, CniPlugin, CniResult, CniRoute } from "@cnilab/core";
import { Bridge, type NetNamespace, type Veth } from "@cnilab/linux";
import {
  addToIp,
  formatIp,
  formatMac,
  type InterfaceAddress,
  type IpAddress,
  type IpFamily,
  type Mac,
} from "@cnilab/net";
import { checkBridge } from "./bridge-check.ts";
import { type BridgeConfig, loadBridgeConfig } from "./bridge-config.ts";
import { configureInterface } from "./configure-interface.ts";
import { ipamAdd, ipamDel, ipamStatus, ipamType, orRelease } from "./delegate-ipam.ts";
import { deleteInterface } from "./delete-interface.ts";
import { errnoText, failure, LINK_NOT_FOUND } from "./failure.ts";
import { enableForwarding } from "./forwarding.ts";
import { quote } from "./go-text.ts";
import { setupIpMasquerade, teardownIpMasquerade } from "./ip-masquerade.ts";
import { setupMacSpoofCheck, teardownMacSpoofCheck } from "./mac-spoof-check.ts";
import { addressesOf, broadcastOf, networkOf, type ResultAddress } from "./parsed-result.ts";
import { asVersion, CURRENT_VERSION, isDnsSet } from "./result-version.ts";
import { kernelOf, openSandbox } from "./sandbox-netns.ts";
import { isValidMtu, setupVeth } from "./setup-veth.ts";

/** Joins a container to a bridge of the node by a veth pair (plugins/main/bridge/bridge.go). */
export const bridge: CniPlugin = {
  type: "bridge",

  add(call: CniCall): CniResult {
    const config = loadBridgeConfig(call);
    const layer3 = ipamType(call) !== "";
    if (layer3 && config.disableContainerInterface) {
      throw failure("cannot use IPAM when DisableContainerInterface flag is set");
    }
    if (config.hairpinMode && config.promiscMode) {
      throw failure("cannot set hairpin mode and promiscuous mode at the same time");
    }
    const kernel = kernelOf(call);
    const host = kernel.initNs;
    const br = ensureBridge(host, config);
    // An address given to the bridge pins the MAC that it has now, before it has a port.
    const ownMac = br.mac;
    const sandbox = openSandbox(call);
    const veth = setupVeth(kernel, sandbox, call.ifName, config.mtu, config.mac);
    plugIn(veth.host, br, config);

    const id = `${call.containerId}-${call.ifName}`;
    const mac = formatMac(veth.container.mac);
    if (config.macSpoofCheck) setupMacSpoofCheck(host, veth.host.name, mac, id);
    let addresses: Addresses | undefined;
    try {
      if (layer3) {
        const fromIpam = ipamAdd(call);
        addresses = orRelease(call, () =>
          configureLayer3(call, config, br, ownMac, sandbox, fromIpam),
        );
      } else if (!config.disableContainerInterface) {
        veth.container.setUp();
      }
    } catch (error) {
      if (config.macSpoofCheck) teardownMacSpoofCheck(host, id);
      throw error;
    }
    const interfaces: CniInterface[] = [
      bridgeInterface(br),
      { name: veth.host.name, mac: formatMac(veth.host.mac) },
      { name: call.ifName, mac, sandbox: call.netns },
    ];
    const dns = isDnsSet(call.config.dns) ? call.config.dns : addresses?.dns;
    const result: CniResult = {
      cniVersion: CURRENT_VERSION,
      interfaces,
      ...(addresses !== undefined && { ips: addresses.ips, routes: addresses.routes }),
      ...(dns !== undefined && { dns }),
    };
    return asVersion(result, call.config.cniVersion);
  },

  del(call: CniCall): void {
    const config = loadBridgeConfig(call);
    const layer3 = ipamType(call) !== "";
    const gone = deleteInterface(call);
    if (layer3) ipamDel(call);
    if (gone === undefined) return;
    const host = kernelOf(call).initNs;
    if (config.macSpoofCheck) teardownMacSpoofCheck(host, `${call.containerId}-${call.ifName}`);
    if (layer3 && config.ipMasq) {
      teardownIpMasquerade(host, gone, {
        network: call.config.name,
        containerId: call.containerId,
        ifName: call.ifName,
      });
    }
  },

  check: checkBridge,

  status(call: CniCall): void {
    if (ipamType(call) !== "") ipamStatus(call);
  },
};

/** The bridge, made when the first container comes; it stays when the last one goes. @throws CniError */
function ensureBridge(host: NetNamespace, config: BridgeConfig): Bridge {
  const name = config.bridge;
  let dev = host.findDevice(name);
  if (dev === undefined) {
    const where = `failed to create bridge ${quote(name)}: could not add ${quote(name)}`;
    if (config.mtu > 0 && !isValidMtu(config.mtu)) throw failure(`${where}: invalid argument`);
    try {
      dev = new Bridge(host, { name, ...(config.mtu > 0 && { mtu: config.mtu }) });
    } catch (error) {
      throw failure(`${where}: ${errnoText(error)}`);
    }
  }
  if (config.promiscMode) dev.setPromiscuous(true);
  if (!(dev instanceof Bridge)) {
    throw failure(
      `failed to create bridge ${quote(name)}: ${quote(name)} already exists but is not a bridge`,
    );
  }
  if (dev.conf6.accept_ra !== 0) host.sysctl.set(`net/ipv6/conf/${name}/accept_ra`, 0);
  dev.setUp();
  return dev;
}

/** What results say of bridges: the same for one pod after the other. */
const shown = new WeakMap<Bridge, { readonly mac: Mac; readonly as: CniInterface }>();

function bridgeInterface(br: Bridge): CniInterface {
  const { mac } = br;
  let entry = shown.get(br);
  if (entry?.mac !== mac || entry.as.name !== br.name) {
    entry = { mac, as: { name: br.name, mac: formatMac(mac) } };
    shown.set(br, entry);
  }
  return entry.as;
}

function plugIn(veth: Veth, br: Bridge, config: BridgeConfig): void {
  try {
    veth.setMaster(br);
  } catch (error) {
    throw failure(
      `failed to connect ${quote(veth.name)} to bridge ${br.name}: ${errnoText(error)}`,
    );
  }
  const port = veth.bridgePort;
  if (port === undefined) throw failure(LINK_NOT_FOUND);
  port.hairpin = config.hairpinMode;
  port.isolated = config.portIsolation;
}

/** What the IPAM plugin gave and the bridge made of it. */
interface Addresses {
  readonly ips: readonly CniIp[];
  readonly routes: readonly CniRoute[];
  readonly dns: CniResult["dns"];
}

function configureLayer3(
  call: CniCall,
  config: BridgeConfig,
  br: Bridge,
  ownMac: number,
  sandbox: NetNamespace,
  fromIpam: CniResult,
): Addresses {
  if (fromIpam.ips === undefined || fromIpam.ips.length === 0) {
    throw failure("IPAM plugin returned missing IP config");
  }
  const host = br.netns;
  const addresses = addressesOf(fromIpam).map((ip) => withGateway(ip, config));
  const routes = withDefaultRoutes(fromIpam.routes ?? NO_ROUTES, addresses, config);

  const { sysctl } = sandbox;
  if (config.enableDad !== (sysctl.get(`net/ipv6/conf/${call.ifName}/accept_dad`) === 1)) {
    sysctl.set(`net/ipv6/conf/${call.ifName}/accept_dad`, config.enableDad ? 1 : 0);
  }
  sysctl.set(`net/ipv4/conf/${call.ifName}/arp_notify`, 1);
  const own = routes.length - (fromIpam.routes?.length ?? 0);
  configureInterface(sandbox, call.ifName, addresses, routes, own);

  if (config.isGateway) {
    for (const family of [4, 6] as const) {
      const own = addresses.filter((ip) => familyOf(ip) === family);
      for (const ip of own) ensureGateway(br, ownMac, family, ip, config.forceAddress);
      if (own.length > 0) enableForwarding(host, family);
    }
  }
  if (config.ipMasq) {
    setupIpMasquerade(host, config.ipMasqBackend, addresses, {
      network: call.config.name,
      containerId: call.containerId,
      ifName: call.ifName,
    });
  }
  const ips = addresses.map(
    ({ address, length, gateway }): CniIp => ({
      interface: 2,
      address: `${formatIp(address)}/${length}`,
      ...(gateway !== undefined && { gateway: gatewayText(gateway) }),
    }),
  );
  return { ips, routes, dns: fromIpam.dns };
}

let lastGateway: { readonly address: IpAddress; readonly text: string } | undefined;

/** Results of one pod after the other name the same gateway: they share its text. */
function gatewayText(address: IpAddress): string {
  if (lastGateway?.address !== address) lastGateway = { address, text: formatIp(address) };
  return lastGateway.text;
}

const NO_ROUTES: readonly CniRoute[] = [];

function familyOf(ip: InterfaceAddress): IpFamily {
  return typeof ip.address === "number" ? 4 : 6;
}

/** A gateway needs an address: the first of the network where IPAM names none. */
function withGateway(ip: ResultAddress, config: BridgeConfig): ResultAddress {
  if (ip.gateway !== undefined || !config.isGateway) return ip;
  return { ...ip, gateway: addToIp(networkOf(ip).address, 1) };
}

/** Routes of IPAM with default routes behind them, for the gateways that they were made for last. */
const extended = new WeakMap<
  readonly CniRoute[],
  { readonly gateways: readonly (IpAddress | undefined)[]; readonly routes: readonly CniRoute[] }
>();

/** `isDefaultGateway`: a default route for each family that has none with a gateway. */
function withDefaultRoutes(
  routes: readonly CniRoute[],
  addresses: readonly ResultAddress[],
  config: BridgeConfig,
): readonly CniRoute[] {
  if (!config.isDefaultGateway) return routes;
  const known = extended.get(routes);
  if (
    known?.gateways.length === addresses.length &&
    known.gateways.every((gateway, i) => gateway === addresses[i]?.gateway)
  ) {
    return known.routes;
  }
  const all = [...routes];
  const done = new Set<IpFamily>();
  for (const ip of addresses) {
    const family = familyOf(ip);
    if (done.has(family) || ip.gateway === undefined) continue;
    done.add(family);
    const dst = family === 4 ? "0.0.0.0/0" : "::/0";
    if (all.some((route) => route.gw !== undefined && route.dst === dst)) continue;
    all.push({ dst, gw: formatIp(ip.gateway) });
  }
  extended.set(routes, { gateways: addresses.map(({ gateway }) => gateway), routes: all });
  return all;
}

/** The gateway's address on the bridge (`ensureAddr`). @throws CniError where another one is in its way */
function ensureGateway(
  br: Bridge,
  ownMac: number,
  family: IpFamily,
  { gateway, length }: ResultAddress,
  force: boolean,
): void {
  if (gateway === undefined) return;
  const wanted = { address: gateway, length };
  const network = networkOf(wanted);
  for (const there of br.addressesOf(family)) {
    if (there.address === gateway && there.prefixLength === length) return;
    const other = networkOf({ address: there.address, length: there.prefixLength });
    if (family === 4 || other.overlaps(network)) {
      if (!force) {
        throw failure(
          `failed to set bridge addr: ${quote(br.name)} already has an IP address different from ${formatIp(gateway)}/${length}`,
        );
      }
      br.removeAddress(there.address, there.prefixLength);
    }
  }
  const broadcast = broadcastOf(wanted);
  try {
    br.addAddress(gateway, length, broadcast === undefined ? undefined : { broadcast });
  } catch (error) {
    throw failure(
      `failed to set bridge addr: could not add IP address ${formatIp(gateway)}/${length} to ${quote(br.name)}: ${errnoText(error)}`,
    );
  }
  br.setMac(ownMac);
}
