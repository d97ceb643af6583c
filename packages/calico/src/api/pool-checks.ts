import {
  boolean,
  type Check,
  fail,
  integer,
  list,
  oneOf,
  strictObject,
} from "@cnilab/core/validation";
import { parsePrefix } from "@cnilab/net";
import {
  enabledOrDisabled,
  isSet,
  network,
  networkOrAddress,
  orEmpty,
  prefixOf,
  selector,
  unique,
} from "./field-checks.ts";
import type { IPPoolAllowedUse, IPPoolSpec } from "./v3/ip-pool.ts";
import type { IPAMConfigurationSpec } from "./v3/ipam.ts";

// Addresses (api/pkg/apis/projectcalico/v3/ippool.go, ipamconfig.go, ipreservation.go).

const mode = orEmpty(oneOf("Never", "Always", "CrossSubnet"));

const poolFields = strictObject(
  {
    cidr: network,
    vxlanMode: mode,
    ipipMode: mode,
    natOutgoing: boolean,
    disabled: boolean,
    disableBGPExport: boolean,
    blockSize: integer(0, 128),
    nodeSelector: selector,
    namespaceSelector: selector,
    allowedUses: unique(list(oneOf("Workload", "Tunnel", "LoadBalancer"), 0, 10)),
    assignmentMode: oneOf("Automatic", "Manual"),
  },
  ["cidr"],
);

const LINK_LOCAL = [parsePrefix("169.254.0.0/16"), parsePrefix("fe80::/10")];

/** Lengths that a pool's blocks may have, and the one where none is given. */
export const BLOCK_SIZES = {
  4: { least: 20, most: 32, default: 26 },
  6: { least: 116, most: 128, default: 122 },
} as const;

/** Of a pool that names none, or an empty list of them. */
export const ALLOWED_USES: readonly IPPoolAllowedUse[] = ["Workload", "Tunnel"];

export const ipPoolSpec: Check = (value, path) => {
  poolFields(value, path);
  const pool = value as IPPoolSpec;
  const cidr = prefixOf(pool.cidr);
  const overlapped = LINK_LOCAL.find((range) => range.overlaps(cidr));
  if (overlapped !== undefined) {
    fail([...path, "cidr"], `must not overlap the link-local range ${overlapped}, but is ${cidr}`);
  }
  const ipip = isOn(pool.ipipMode);
  const vxlan = isOn(pool.vxlanMode);
  if (ipip && vxlan) fail([...path, "vxlanMode"], "must be Never where ipipMode is not");
  if (ipip && cidr.family === 6)
    fail([...path, "ipipMode"], "must be Never: IPIP is for IPv4 alone");
  const { least, most, default: usual } = BLOCK_SIZES[cidr.family];
  const blockSize = pool.blockSize === undefined || pool.blockSize === 0 ? usual : pool.blockSize;
  if (blockSize < least || blockSize > most) {
    fail([...path, "blockSize"], `must be between ${least} and ${most}, not ${blockSize}`);
  }
  if (pool.disabled !== true && cidr.length > blockSize) {
    fail([...path, "cidr"], `is smaller than one block of /${blockSize}: ${cidr}`);
  }
  checkUses(pool, ipip || vxlan, path);
};

function checkUses(
  pool: IPPoolSpec,
  encapsulated: boolean,
  path: readonly (string | number)[],
): void {
  // The pool's defaults are filled in before the API server asks (clientv3/ippool.go validateAndSetDefaults).
  const uses = pool.allowedUses?.length ? pool.allowedUses : ALLOWED_USES;
  if (uses.includes("Tunnel") && isSet(pool.namespaceSelector)) {
    fail(
      [...path, "namespaceSelector"],
      "cannot stand where allowedUses has Tunnel, as it does unless it says otherwise",
    );
  }
  if (!uses.includes("LoadBalancer")) return;
  if (uses.length > 1) {
    fail([...path, "allowedUses"], "cannot have LoadBalancer beside Workload or Tunnel");
  }
  if (encapsulated) {
    const field = isOn(pool.ipipMode) ? "ipipMode" : "vxlanMode";
    fail([...path, field], "must be Never in a pool for LoadBalancer");
  }
  if (pool.disableBGPExport === true) {
    fail([...path, "disableBGPExport"], "cannot be true in a pool for LoadBalancer");
  }
  if (isSet(pool.nodeSelector) && pool.nodeSelector !== "all()") {
    fail([...path, "nodeSelector"], "must be all() in a pool for LoadBalancer");
  }
}

function isOn(mode: string | undefined): boolean {
  return isSet(mode) && mode !== "Never";
}

export const ipReservationSpec: Check = strictObject({
  reservedCIDRs: unique(list(networkOrAddress)),
});

const ipamFields = strictObject(
  {
    strictAffinity: boolean,
    autoAllocateBlocks: boolean,
    maxBlocksPerHost: integer(0, 1_000_000),
    kubeVirtVMAddressPersistence: enabledOrDisabled,
    ipCooldownSeconds: integer(0, 1200),
  },
  [],
);

/** With what `libcalico-go/lib/ipam/ipam.go` SetIPAMConfig refuses. */
export const ipamConfigurationSpec: Check = (value, path) => {
  ipamFields(value, path);
  const { strictAffinity, autoAllocateBlocks, maxBlocksPerHost } =
    value as Partial<IPAMConfigurationSpec>;
  if (strictAffinity !== true && autoAllocateBlocks === false) {
    fail([...path, "autoAllocateBlocks"], "cannot be false unless strictAffinity is true");
  }
  if (strictAffinity !== true && (maxBlocksPerHost ?? 0) > 0) {
    fail([...path, "maxBlocksPerHost"], "needs strictAffinity: true");
  }
};
