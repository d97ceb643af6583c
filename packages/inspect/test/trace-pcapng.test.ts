import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exchange, Trace, Tun } from "@cnilab/linux";
import { IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP, parseIp } from "@cnilab/net";
import { describe, expect, it, test } from "vitest";
import { tracePcapng } from "../src/index.ts";
import { twoNodes } from "./two-nodes.ts";

const TSHARK = "tshark";

function capture(): Uint8Array {
  const { pods, kernels } = twoNodes();
  const trace = new Trace();
  const [client] = pods;
  if (client === undefined) throw new Error("no pod");
  const dst = parseIp("10.244.2.2");
  exchange(client, { protocol: IPPROTO_TCP, dst, port: 80, trace });
  exchange(client, { protocol: IPPROTO_UDP, dst, port: 53, length: 3000, trace });
  exchange(client, { protocol: IPPROTO_ICMP, dst, port: 0, trace });
  // A device without Ethernet.
  const tun = new Tun(kernels[0].initNs, { name: "tun0" });
  tun.setUp();
  tun.addAddress(parseIp("10.9.0.1"), 24);
  tun.attach(() => {});
  exchange(kernels[0].initNs, { protocol: IPPROTO_ICMP, dst: parseIp("10.9.0.2"), port: 0, trace });
  return tracePcapng(trace);
}

function tshark(file: string, ...args: string[]): string {
  return execFileSync(TSHARK, ["-r", file, "-n", ...args], { encoding: "utf8", stdio: "pipe" });
}

function hasTshark(): boolean {
  try {
    execFileSync(TSHARK, ["--version"], { stdio: "pipe" });
    return true;
  } catch {
    return false;
  }
}

const there = hasTshark();
describe(`Wireshark reads a trace${there ? "" : " (needs tshark)"}`, () => {
  it.skipIf(!there)("without a malformed frame or a wrong checksum", () => {
    const folder = mkdtempSync(join(tmpdir(), "cnilab-trace-"));
    try {
      const file = join(folder, "trace.pcapng");
      writeFileSync(file, capture());
      const checks = ["ip.check_checksum", "tcp.check_checksum", "udp.check_checksum"];
      const preferences = checks.flatMap((name) => ["-o", `${name}:TRUE`]);
      const bad =
        "_ws.malformed || ip.checksum.status == Bad || tcp.checksum.status == Bad || udp.checksum.status == Bad || icmp.checksum.status == Bad";
      expect(tshark(file, ...preferences, "-Y", bad)).toBe("");
      const names = tshark(file, "-T", "fields", "-e", "frame.interface_name").trim().split("\n");
      expect([...new Set(names)].sort()).toEqual([
        "node1/host/cni0",
        "node1/host/eth0",
        "node1/host/flannel.1",
        "node1/host/tun0",
        "node1/host/veth2",
        "node1/host/veth3",
        "node1/pod2/eth0",
        "node1/pod3/eth0",
        "node2/host/cni0",
        "node2/host/eth0",
        "node2/host/flannel.1",
        "node2/host/veth2",
        "node2/host/veth3",
        "node2/pod2/eth0",
        "node2/pod3/eth0",
      ]);
      // VXLAN on the underlay is taken apart down to the pods' own segments.
      const inner = tshark(file, "-d", "udp.port==8472,vxlan", "-Y", "vxlan && tcp.flags.syn == 1");
      expect(inner.trim().split("\n").length).toBe(4);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

test("an empty trace is a capture without packets", () => {
  expect(tracePcapng(new Trace()).length).toBeGreaterThan(0);
});
