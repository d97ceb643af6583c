import type { IPAMConfigurationSpec } from "../api/v3.ts";
import { IpamError } from "./ipam-error.ts";
import { ask, type IpamSteps } from "./steps.ts";

/** How often something is tried again that others got in the way of (`libcalico-go/lib/ipam/ipam.go` datastoreRetries). */
export const RETRIES = 100;

/** Virtual milliseconds. */
export type Now = () => number;

/** IPAMConfiguration with its defaults. */
export type IpamSettings = Required<IPAMConfigurationSpec>;

export const DEFAULT_SETTINGS: IpamSettings = {
  strictAffinity: false,
  autoAllocateBlocks: true,
  maxBlocksPerHost: 0,
  kubeVirtVMAddressPersistence: "Enabled",
  ipCooldownSeconds: 0,
};

/** @param os of the host. @throws IpamError: Windows can neither lend nor borrow, for it knows no routes of single addresses */
export function* ipamSettings(os: "linux" | "windows" = "linux"): IpamSteps<IpamSettings> {
  const stored = yield* ask((datastore) => datastore.configuration());
  const settings = stored === undefined ? DEFAULT_SETTINGS : { ...DEFAULT_SETTINGS, ...stored };
  if (os === "windows" && !settings.strictAffinity) {
    throw new IpamError("global strict affinity should not be false for Windows node");
  }
  return settings;
}
