import { formatIp } from "@cnilab/net";
import { expect, test } from "vitest";
import { type PublishedServicePort, parseExposedPorts, parsePublishedPort } from "./port-syntax.ts";

function written({ hostIp, hostPorts, port, protocol }: PublishedServicePort): string {
  const ip = hostIp === undefined ? "" : `${formatIp(hostIp)} `;
  return `${ip}${hostPorts?.join("-") ?? "?"} > ${port}/${protocol}`;
}

// go-connections nat/nat_test.go, and the specification's own examples.
test.each([
  { text: "3000", want: ["? > 3000/tcp"] },
  { text: "3000-3002", want: ["? > 3000/tcp", "? > 3001/tcp", "? > 3002/tcp"] },
  { text: "8000:80", want: ["8000-8000 > 80/tcp"] },
  { text: "9090-9091:8080-8081", want: ["9090-9090 > 8080/tcp", "9091-9091 > 8081/tcp"] },
  { text: "8000-9000:80", want: ["8000-9000 > 80/tcp"] },
  { text: "127.0.0.1:8001:8001", want: ["127.0.0.1 8001-8001 > 8001/tcp"] },
  { text: "127.0.0.1::5000", want: ["127.0.0.1 ? > 5000/tcp"] },
  { text: "6060:6060/udp", want: ["6060-6060 > 6060/udp"] },
  { text: "6060:6060/UDP", want: ["6060-6060 > 6060/udp"] },
  { text: "[::1]:6001:6001", want: ["::1 6001-6001 > 6001/tcp"] },
  { text: "::1:6001:6001", want: ["::1 6001-6001 > 6001/tcp"] },
  { text: ":80", want: ["? > 80/tcp"] },
])("$text", ({ text, want }) => {
  expect(parsePublishedPort(text).map(written)).toEqual(want);
});

test.each([
  { text: "", error: '"" is no port' },
  { text: "web", error: "is no port" },
  { text: "0", error: "is no port" },
  { text: "70000:80", error: "is no port" },
  { text: "80:", error: "is no port" },
  { text: "90-80", error: "is no port" },
  { text: "80/http", error: "the protocol must be tcp, udp or sctp" },
  { text: "80/tcp/udp", error: "the protocol must be" },
  { text: "8000-8001:80-82", error: "must be as long as that of the container" },
  { text: "1.2.3:80:80", error: '"1.2.3" is no address' },
  { text: "1-60000", error: "more than 4096 ports" },
])("$text: $error", ({ text, error }) => {
  expect(() => parsePublishedPort(text)).toThrow(error);
});

test("expose", () => {
  expect(parseExposedPorts("53/udp")).toEqual([{ protocol: "udp", port: 53 }]);
  expect(parseExposedPorts("7000-7001").map(({ port }) => port)).toEqual([7000, 7001]);
  expect(() => parseExposedPorts("8000:80")).toThrow("is no port");
});
