import type { CniCall, CniInterface } from "@cnilab/core";
import { Bridge, type NetNamespace, Veth } from "@cnilab/linux";
import { formatMac } from "@cnilab/net";
import { loadBridgeConfig } from "./bridge-config.ts";
import { ipamCheck } from "./delegate-ipam.ts";
import { expectAddresses, expectRoutes } from "./expected-state.ts";
import { failure } from "./failure.ts";
import { addressesOf } from "./parsed-result.ts";
import { kernelOf, openSandbox } from "./sandbox-netns.ts";

/** CHECK of the bridge plugin: bridge, both ends, addresses and routes are as in the result. @throws CniError */
export function checkBridge(call: CniCall): void {
  const config = loadBridgeConfig(call);
  const sandbox = openSandbox(call);
  ipamCheck(call);
  const result = call.config.prevResult;
  if (result === undefined) throw failure("Required prevResult missing");
  const interfaces = result.interfaces ?? [];
  const host = kernelOf(call).initNs;

  const bridge = expectBridge(host, lastNamed(interfaces, config.bridge), config.promiscMode);
  const inside = interfaces.findLast((i) => i.name === call.ifName && i.sandbox === call.netns);
  if (inside === undefined) {
    throw failure(`Sandbox in prevResult  doesn't match configured netns: ${call.netns}`);
  }
  const container = expectContainerVeth(sandbox, inside);
  const others = interfaces.filter((i) => i.name !== bridge.name && i.name !== inside.name);
  if (!others.some((i) => isHostEnd(host, i, container, bridge))) {
    throw failure(`CNI veth created for bridge ${config.bridge} was not found`);
  }
  expectAddresses(sandbox, call.ifName, addressesOf(result));
  expectRoutes(sandbox, result.routes);
}

function lastNamed(interfaces: readonly CniInterface[], name: string): CniInterface | undefined {
  return interfaces.findLast((i) => i.name === name);
}

function expectBridge(
  host: NetNamespace,
  expected: CniInterface | undefined,
  promiscMode: boolean,
): Bridge {
  const dev = expectOnHost(host, expected);
  const { name } = dev;
  if (!(dev instanceof Bridge)) {
    throw failure(`Interface ${name} does not have link type of bridge`);
  }
  if (expected?.mac && expected.mac !== formatMac(dev.mac)) {
    throw failure(`Bridge interface ${name} Mac doesn't match: ${expected.mac}`);
  }
  const promisc = dev.promiscuity !== 0;
  if (promisc !== promiscMode) {
    throw failure(
      `Bridge interface ${name} configured Promisc Mode ${promiscMode} doesn't match current state: ${promisc} `,
    );
  }
  return dev;
}

function expectOnHost(host: NetNamespace, expected: CniInterface | undefined) {
  if (expected === undefined || expected.name === "") throw failure("Interface name missing ");
  const dev = host.findDevice(expected.name);
  if (dev === undefined) throw failure(`Interface name ${expected.name} not found`);
  if (expected.sandbox) throw failure(`Interface ${expected.name} should not be in sandbox`);
  return dev;
}

function expectContainerVeth(sandbox: NetNamespace, expected: CniInterface): Veth {
  const dev = sandbox.findDevice(expected.name);
  if (dev === undefined) throw failure(`Interface name ${expected.name} not found`);
  if (!(dev instanceof Veth)) {
    throw failure(`Error: Container interface ${dev.name} not of type veth`);
  }
  const mac = formatMac(dev.mac);
  if (expected.mac && expected.mac !== mac) {
    throw failure(
      `Interface ${expected.name} Mac ${expected.mac} doesn't match container Mac: ${mac}`,
    );
  }
  return dev;
}

/** Whether it is the other end of the container's veth, on the bridge. What is no veth is somebody else's. */
function isHostEnd(
  host: NetNamespace,
  expected: CniInterface,
  container: Veth,
  bridge: Bridge,
): boolean {
  const dev = expectOnHost(host, expected);
  if (!(dev instanceof Veth) || dev.peer !== container || dev.master !== bridge) return false;
  if (expected.mac && expected.mac !== formatMac(dev.mac)) {
    throw failure(`Interface ${expected.name} Mac doesn't match: ${expected.mac} not found`);
  }
  return true;
}
