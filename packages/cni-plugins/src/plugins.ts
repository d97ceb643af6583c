import type { CniPlugin } from "@cnilab/core";
import { bandwidth } from "./bandwidth.ts";
import { bridge } from "./bridge.ts";
import { dhcp } from "./dhcp.ts";
import { firewall } from "./firewall.ts";
import { flannel } from "./flannel.ts";
import { hostLocal } from "./host-local/host-local.ts";
import { loopback } from "./loopback.ts";
import { macvlan } from "./macvlan.ts";
import { portmap } from "./portmap/portmap.ts";
import { ptp } from "./ptp.ts";
import { staticIpam } from "./static-ipam.ts";
import { tuning } from "./tuning.ts";
import { winBridge } from "./windows/win-bridge.ts";
import { winOverlay } from "./windows/win-overlay.ts";

/** What a node has in `/opt/cni/bin`, by type; Windows' own are there as well, and run there only. */
export const PLUGINS: ReadonlyMap<string, CniPlugin> = new Map(
  [
    bandwidth,
    bridge,
    dhcp,
    firewall,
    flannel,
    hostLocal,
    loopback,
    macvlan,
    portmap,
    ptp,
    staticIpam,
    tuning,
    winBridge,
    winOverlay,
  ].map((plugin) => [plugin.type, plugin]),
);
