import { WindowsMachine } from "@cnilab/windows";
import { makeWindowsBackend } from "../windows/make-windows-backend.ts";
import { AllocBackend } from "./alloc-backend.ts";
import type { Backend, BackendContext } from "./backend.ts";
import { HostGwBackend } from "./host-gw-backend.ts";
import { IpipBackend } from "./ipip-backend.ts";
import { UdpBackend } from "./udp-backend.ts";
import { VxlanBackend } from "./vxlan-backend.ts";
import { WireguardBackend } from "./wireguard-backend.ts";

/** The backend that the network configuration names. @throws FlanneldError */
export function makeBackend(context: BackendContext): Backend {
  const { backend } = context.conf;
  const { kernel } = context.netns;
  if (kernel instanceof WindowsMachine) return makeWindowsBackend(context, kernel);
  switch (backend.type) {
    case "vxlan":
      return new VxlanBackend(context, backend);
    case "host-gw":
      return new HostGwBackend(context);
    case "udp":
      return new UdpBackend(context, backend);
    case "ipip":
      return new IpipBackend(context, backend);
    case "wireguard":
      return new WireguardBackend(context, backend);
    case "alloc":
      return new AllocBackend(context);
  }
}
