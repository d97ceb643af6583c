import { parseIp } from "@cnilab/net";
import { expect, test } from "vitest";
import { displayablePorts, type PortSummary } from "./container-ports.ts";

/** `80/tcp` alone, or `0.0.0.0:8080->80/tcp`. */
function summary(text: string): PortSummary {
  const [, ip, hostPort, port, protocol = ""] =
    /^(?:\[?([0-9a-f.:]+?)\]?:([0-9]+)->)?([0-9]+)\/(\w+)$/.exec(text) ?? [];
  const host = ip === undefined ? {} : { hostIp: parseIp(ip), hostPort: Number(hostPort) };
  return { ...host, port: Number(port), protocol };
}

// What docker/cli's `DisplayablePorts` makes of them.
test.each([
  { ports: ["80/tcp"], want: "80/tcp" },
  {
    ports: ["0.0.0.0:8080->80/tcp", "[::]:8080->80/tcp"],
    want: "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp",
  },
  { ports: ["0.0.0.0:80->80/tcp", "[::]:80->80/tcp"], want: "0.0.0.0:80->80/tcp, [::]:80->80/tcp" },
  { ports: ["81/udp", "80/udp", "83/udp"], want: "80-81/udp, 83/udp" },
  {
    ports: ["10.0.0.1:81->81/tcp", "10.0.0.1:80->80/tcp", "[fd00::1]:80->80/tcp"],
    want: "10.0.0.1:80-81->80-81/tcp, [fd00::1]:80->80/tcp",
  },
  {
    ports: ["10.0.0.1:8081->81/tcp", "10.0.0.1:8080->80/tcp"],
    want: "10.0.0.1:8080->80/tcp, 10.0.0.1:8081->81/tcp",
  },
  {
    ports: ["10.0.0.2:8080->80/tcp", "9.0.0.1:8081->80/tcp", "90/udp"],
    want: "90/udp, 9.0.0.1:8081->80/tcp, 10.0.0.2:8080->80/tcp",
  },
  {
    ports: ["10.0.0.1:9000->80/udp", "10.0.0.1:9000->80/tcp", "80/sctp"],
    want: "80/sctp, 10.0.0.1:9000->80/tcp, 10.0.0.1:9000->80/udp",
  },
  { ports: [], want: "" },
])("$ports: $want", ({ ports, want }) => {
  expect(displayablePorts(ports.map(summary))).toBe(want);
});
