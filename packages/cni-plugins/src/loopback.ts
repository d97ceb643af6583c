import type { CniCall, CniIp, CniPlugin, CniResult } from "@cnilab/core";
import type { DeviceAddress, NetDevice } from "@cnilab/linux";
import { formatIp, isLoopback } from "@cnilab/net";
import { failure } from "./failure.ts";
import { quote } from "./go-text.ts";
import { asVersion } from "./result-version.ts";
import { enterSandbox, findSandbox } from "./sandbox-netns.ts";

/** Brings `lo` up, whatever interface it is called for (plugins/main/loopback). */
export const loopback: CniPlugin = {
  type: "loopback",

  add(call: CniCall): CniResult {
    const { prevResult, cniVersion } = call.config;
    const lo = enterSandbox(call).loopback;
    lo.setUp();
    const addresses = [ownAddress(lo, 4), ownAddress(lo, 6)].filter((a) => a !== undefined);
    if (prevResult !== undefined) return asVersion(prevResult, cniVersion);
    // In the newest form, whatever the version says: the real one does not convert it.
    return {
      cniVersion,
      interfaces: [{ name: "lo", mac: "00:00:00:00:00:00", sandbox: call.netns }],
      ips: shownAll(addresses),
    };
  },

  del(call: CniCall): void {
    findSandbox(call)?.loopback.setDown();
  },

  check(call: CniCall): void {
    if (!enterSandbox(call).loopback.up) throw failure("loopback interface is down");
  },
};

const LOCALHOST: CniIp = { interface: 0, address: "127.0.0.1/8" };
const LOCALHOST6: CniIp = { interface: 0, address: "::1/128" };

const LOCALHOSTS: readonly CniIp[] = [LOCALHOST, LOCALHOST6];

function shownAll(addresses: readonly DeviceAddress[]): readonly CniIp[] {
  const all = addresses.map(shown);
  return all.length === 2 && all[0] === LOCALHOST && all[1] === LOCALHOST6 ? LOCALHOSTS : all;
}

/** The addresses that every pod has are the same objects in all results. */
function shown({ address, prefixLength }: DeviceAddress): CniIp {
  const text = `${formatIp(address)}/${prefixLength}`;
  if (text === LOCALHOST.address) return LOCALHOST;
  return text === LOCALHOST6.address ? LOCALHOST6 : { interface: 0, address: text };
}

/** @throws CniError where somebody gave `lo` an address from outside 127.0.0.0/8 and ::1 */
function ownAddress(lo: NetDevice, family: 4 | 6): DeviceAddress | undefined {
  const addresses = lo.addressesOf(family);
  const foreign = addresses.find((a) => !isLoopback(a.address));
  if (foreign !== undefined) {
    throw failure(
      `loopback interface found with non-loopback address ${quote(formatIp(foreign.address))}`,
    );
  }
  return addresses[0];
}
