import { type CniCall, CniError, type CniIp, type CniPlugin, type CniResult } from "@cnilab/core";
import { formatIp } from "@cnilab/net";
import { failure } from "../failure.ts";
import { asVersion, CURRENT_VERSION } from "../result-version.ts";
import { AddressStore } from "./address-store.ts";
import { allocate } from "./allocate.ts";
import { loadIpamConfig, requestedAddresses } from "./ipam-config.ts";
import { rangeFor } from "./range.ts";
import { parseResolvConf } from "./resolv-conf.ts";

/** Hands out addresses of ranges that belong to the node alone (plugins/ipam/host-local). */
export const hostLocal: CniPlugin = {
  type: "host-local",

  add(call: CniCall): CniResult {
    const { config, containerId: id, ifName } = call;
    const ipam = loadIpamConfig(config);
    const requested = requestedAddresses(config, call.args);
    const dns =
      ipam.resolvConf === undefined ? undefined : parseResolvConf(call.host.files, ipam.resolvConf);
    const store = AddressStore.open(call.host.files, ipam.folder);
    const ips: CniIp[] = [];
    try {
      for (const [index, set] of ipam.ranges.entries()) {
        const at = requested.findIndex((ip) => rangeFor(set, ip) !== undefined);
        const [wanted] = at < 0 ? [] : requested.splice(at, 1);
        try {
          ips.push(allocate(set, index, store, { id, ifName }, wanted));
        } catch (error) {
          if (!(error instanceof CniError)) throw error;
          throw failure(`failed to allocate for range ${index}: ${error.message}`);
        }
      }
      if (requested.length > 0) {
        const texts = requested.map((ip) => ` ${formatIp(ip)}`).join("");
        throw failure(`failed to allocate all requested IPs:${texts}`);
      }
    } catch (error) {
      // The cursors stay where they are: the addresses given back come round again much later.
      if (ips.length > 0) store.release(id, ifName);
      throw error;
    }
    const result: CniResult = {
      cniVersion: CURRENT_VERSION,
      ips,
      ...(ipam.routes !== undefined && { routes: ipam.routes }),
      ...(dns !== undefined && { dns }),
    };
    return asVersion(result, config.cniVersion);
  },

  del(call: CniCall): void {
    const { folder } = loadIpamConfig(call.config);
    AddressStore.open(call.host.files, folder).release(call.containerId, call.ifName);
  },

  check(call: CniCall): void {
    const { folder } = loadIpamConfig(call.config);
    const store = AddressStore.open(call.host.files, folder);
    if (store.heldBy(call.containerId, call.ifName).length === 0) {
      throw failure(`host-local: Failed to find address added by container ${call.containerId}`);
    }
  },
};
