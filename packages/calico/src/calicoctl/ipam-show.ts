import { formatIp, type IpAddress } from "@cnilab/net";
import { addressAt, attributeAt } from "../ipam/allocation-block.ts";
import type { IpamClient } from "../ipam/ipam-client.ts";
import { ResourceDoesNotExist } from "../ipam/ipam-error.ts";
import type { IpamSettings } from "../ipam/ipam-settings.ts";
import type { Utilization } from "../ipam/utilization.ts";
import { fiveDigits, wholeNumber } from "./go-number.ts";
import { type Column, prettyTable } from "./table.ts";

// calicoctl/calicoctl/commands/ipam/show.go

const UTILIZATION: readonly Column[] = [
  { title: "GROUPING" },
  { title: "CIDR" },
  { title: "IPS TOTAL", align: "right" },
  { title: "IPS IN USE", align: "right" },
  { title: "IPS RESERVED", align: "right" },
  { title: "IPS FREE", align: "right" },
];

/** `calicoctl ipam show`, with `--show-blocks` or without. */
export function showUtilization(client: IpamClient, showBlocks: boolean): string {
  const { pools, orphanedBlocks } = client.utilization;
  const rows: string[][] = [];
  for (const pool of pools) {
    rows.push(utilizationRow("IP Pool", pool));
    if (showBlocks) rows.push(...pool.blocks.map((block) => utilizationRow("Block", block)));
  }
  if (showBlocks) rows.push(...orphanedBlocks.map((block) => utilizationRow("Block", block)));
  return prettyTable(UTILIZATION, rows);
}

function utilizationRow(grouping: string, use: Utilization): string[] {
  const part = (count: number) =>
    `${fiveDigits(count)} (${wholeNumber((100 * count) / use.capacity)}%)`;
  return [
    grouping,
    use.cidr,
    fiveDigits(use.capacity),
    part(use.inUse),
    part(use.reserved),
    part(use.available),
  ];
}

/** `calicoctl ipam show --show-borrowed`: addresses out of blocks that are another's, or nobody's. */
export function showBorrowed(client: IpamClient): string {
  const titles = ["IP", "BORROWING-NODE", "BLOCK", "BLOCK OWNER", "TYPE", "ALLOCATED-TO"];
  const rows: string[][] = [];
  let unclassified = 0;
  for (const { value: block } of client.datastore.blocks()) {
    const owner = (block.affinity ?? "").split(":").at(-1) ?? "";
    for (let ordinal = 0; ordinal < block.allocations.length; ordinal++) {
      const attribute = attributeAt(block, ordinal);
      if (attribute === undefined) continue;
      const { node, namespace = "", pod, type } = attribute.secondary ?? {};
      if (node === undefined) {
        unclassified++;
        continue;
      }
      if (node === owner) continue;
      const address = formatIp(addressAt(block, ordinal));
      const kind = pod === undefined ? (type ?? "") : "pod";
      const allocatedTo = pod === undefined ? "" : `${namespace}/${pod}`;
      rows.push([address, node, block.cidr, owner, kind, allocatedTo]);
    }
  }
  const table = prettyTable(
    titles.map((title) => ({ title })),
    rows,
  );
  if (unclassified === 0) return table;
  return `${table}\n\nNote: found ${unclassified} IP allocations without an explicit node association. Unable to determine if they are borrowed.`;
}

/** `calicoctl ipam show --ip`. @throws IpamError */
export function showIp(client: IpamClient, address: IpAddress): string {
  const text = formatIp(address);
  try {
    const { handle_id, secondary, alternateOwnerAttrs } = client.assignmentAttributes(address);
    const active = attributeLines("Active Owner Attributes", secondary);
    return [
      `IP ${text} is in use`,
      `Handle ID: ${handle_id ?? "<none>"}`,
      ...(active.length > 0 ? active : ["No Active Owner attributes defined"]),
      ...attributeLines("Alternate Owner Attributes", alternateOwnerAttrs),
    ].join("\n");
  } catch (error) {
    if (!(error instanceof ResourceDoesNotExist)) throw error;
    return `${text} is not assigned`;
  }
}

function attributeLines(
  title: string,
  attributes: Readonly<Record<string, string>> | undefined = {},
): string[] {
  const keys = Object.keys(attributes).toSorted();
  if (keys.length === 0) return [];
  return [`${title}:`, ...keys.map((key) => `  ${key}: ${attributes[key]}`)];
}

/** `calicoctl ipam show --show-configuration`. Of the persistence of virtual machines' addresses the real one prints a pointer. */
export function showConfiguration(settings: IpamSettings): string {
  const rows = [
    ["StrictAffinity", String(settings.strictAffinity)],
    ["AutoAllocateBlocks", String(settings.autoAllocateBlocks)],
    ["MaxBlocksPerHost", String(settings.maxBlocksPerHost)],
    ["KubeVirtVMAddressPersistence", `"${settings.kubeVirtVMAddressPersistence}"`],
    ["IPCooldownSeconds", String(settings.ipCooldownSeconds)],
  ];
  return prettyTable([{ title: "PROPERTY" }, { title: "VALUE" }], rows);
}
