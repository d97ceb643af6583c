import type { WindowsMachine } from "@cnilab/windows";
import type { Backend, BackendContext } from "../backend/backend.ts";
import { FlanneldError } from "../lease/subnet-manager.ts";
import { WindowsHostGwBackend } from "./windows-host-gw-backend.ts";
import { WindowsVxlanBackend } from "./windows-vxlan-backend.ts";

/** The backend of a Windows node. @throws FlanneldError for those that Windows has not */
export function makeWindowsBackend(context: BackendContext, machine: WindowsMachine): Backend {
  const { backend } = context.conf;
  if (!context.conf.enableIPv4) throw new FlanneldError("Flannel on Windows needs IPv4");
  switch (backend.type) {
    case "host-gw":
      return new WindowsHostGwBackend(context, machine);
    case "vxlan":
      return new WindowsVxlanBackend(context, backend, machine);
    default:
      throw new FlanneldError(
        `Error fetching backend: ${backend.type} is not there on Windows; take host-gw or vxlan`,
      );
  }
}
