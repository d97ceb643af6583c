// A host with Docker, realised in namespaces of this machine: everybody asks everybody.
import type { DaemonConfig } from "@cnilab/docker";
import { whyNotHere } from "@cnilab/realize";
import { describe, expect, test } from "vitest";
import { expectDockerAgreement } from "./systems/docker-agreement.ts";
import { DockerLab } from "./systems/docker-lab.ts";

const missing = whyNotHere();
const why = missing === undefined ? "" : ` (skipped: ${missing})`;

const DAEMONS: readonly { readonly name: string; readonly config: DaemonConfig }[] = [
  { name: "iptables", config: { firewallBackend: "iptables" } },
  { name: "nftables", config: { firewallBackend: "nftables" } },
  {
    name: "iptables, without the userland proxy",
    config: { firewallBackend: "iptables", userlandProxy: false },
  },
  {
    name: "nftables, without the userland proxy",
    config: { firewallBackend: "nftables", userlandProxy: false },
  },
  {
    name: "iptables, allow-direct-routing and ip-forward-no-drop",
    config: { firewallBackend: "iptables", allowDirectRouting: true, ipForwardNoDrop: true },
  },
  { name: "no rules at all", config: { iptables: false } },
];

describe.skipIf(missing !== undefined)(`a host with Docker in real namespaces${why}`, () => {
  // At once, as each waits most of the time.
  test.concurrent.each(DAEMONS)("with $name does what the model does", async (daemon) => {
    const prefix = `docker${process.pid}-${DAEMONS.indexOf(daemon)}`;
    const met = await expectDockerAgreement(new DockerLab(daemon.config), prefix);
    expect(met["answered"]).toBeGreaterThan(2500);
    // Each way to fail was there to be told apart.
    for (const errno of ["ETIMEDOUT", "ECONNREFUSED", "ENETUNREACH", "EHOSTUNREACH"]) {
      expect(met[errno], errno).toBeGreaterThan(10);
    }
  });
});
