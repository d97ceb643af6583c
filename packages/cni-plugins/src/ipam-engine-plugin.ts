import type { CniCall, CniIp, CniPlugin, CniResult, IpamEngine, PodIdentity } from "@cnilab/core";
import { formatIp, type IpAddress } from "@cnilab/net";
import { requestedAddresses } from "./host-local/ipam-config.ts";
import { asVersion, CURRENT_VERSION } from "./result-version.ts";

/** An IPAM engine in the place of an IPAM plugin: any plugin that delegates to one gets its addresses. */
export class IpamEnginePlugin implements CniPlugin {
  readonly type = "ipam-engine";
  readonly #engine: IpamEngine;
  readonly #pod: PodIdentity | undefined;
  readonly #requested: readonly IpAddress[];

  /**
   * @param pod whom the addresses are for, where that is known
   * @param requested addresses to ask for, besides those that the configuration does
   */
  constructor(engine: IpamEngine, pod?: PodIdentity, requested: readonly IpAddress[] = []) {
    this.#engine = engine;
    this.#pod = pod;
    this.#requested = requested;
  }

  add(call: CniCall): CniResult {
    const { containerId, ifName } = call;
    const requested = [...this.#requested, ...requestedAddresses(call.config, call.args)];
    const { ips, routes } = this.#engine.allocate({
      containerId,
      ifName,
      ...(this.#pod !== undefined && { pod: this.#pod }),
      ...(requested.length > 0 && { requested }),
    });
    const result: CniResult = {
      cniVersion: CURRENT_VERSION,
      ips: ips.map(
        ({ address: { address, length }, gateway }): CniIp => ({
          address: `${formatIp(address)}/${length}`,
          ...(gateway !== undefined && { gateway: formatIp(gateway) }),
        }),
      ),
      routes: routes.map(({ dst, gw }) => ({
        dst: String(dst),
        ...(gw !== undefined && { gw: formatIp(gw) }),
      })),
    };
    return asVersion(result, call.config.cniVersion);
  }

  del({ containerId, ifName }: CniCall): void {
    this.#engine.release(containerId, ifName);
  }

  check({ containerId, ifName }: CniCall): void {
    this.#engine.check(containerId, ifName);
  }
}
