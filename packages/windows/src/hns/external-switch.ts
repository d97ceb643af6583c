import type { Random } from "@cnilab/core";
import { type NetNamespace, Nic } from "@cnilab/linux";
import { HcnError } from "../hcn/hcn-error.ts";
import { moveAddresses } from "../vswitch/bind-card.ts";
import { VmNic } from "../vswitch/vm-nic.ts";
import { VSwitch } from "../vswitch/vswitch.ts";
import { newGuid } from "./guid.ts";
import type { SwitchTables } from "./switch-tables.ts";

/**
 * Binds a virtual switch to a card: the host gets a vNIC with the card's MAC, addresses and routes.
 * @param adapter name of the card; the first one where it is absent
 * @throws HcnError
 */
export function createExternalSwitch(
  host: NetNamespace,
  adapter: string | undefined,
  tables: SwitchTables,
  random: Random,
): VSwitch {
  const cards = host.devices.filter((dev) => dev instanceof Nic);
  const card = cards.find(({ name }) => adapter === undefined || name === adapter);
  if (card === undefined) {
    throw new HcnError("INVALID_NETWORK", `there is no network adapter ${adapter ?? ""}`);
  }
  const vswitch = new VSwitch(card.name, card);
  const port = tables.hostPort(newGuid(random), `vEthernet (${card.name})`);
  const { mac, mtu } = card;
  const nic = new VmNic(host, { name: "vEthernet", mac, mtu, vswitch, port });
  vswitch.management = nic;
  vswitch.plug(nic, []);
  moveAddresses(host, card, nic);
  return vswitch;
}

/** Gives the card back to the host. */
export function deleteExternalSwitch(vswitch: VSwitch): void {
  const { management, external, netns } = vswitch;
  moveAddresses(netns, management, external);
  vswitch.unplug(management);
  management.remove();
  vswitch.remove();
}
