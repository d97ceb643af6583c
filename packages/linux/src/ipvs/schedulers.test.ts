import { IPPROTO_TCP, parseIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { Balancer } from "../../test/balancer.ts";

// What Linux 6.1.192 chose (Debian's kernel in a virtual machine), asked with the topology of test/balancer.ts:
// the servers 1, 2, 3 that connections went to, x where the client was refused.

const VIP = "10.96.0.10";
const VIP6 = "fd00:96::a";

/** Servers 1, 2, … with these weights behind both addresses. */
function balancer(scheduler: string, weights: string, options = ""): Balancer {
  const b = new Balancer(3).serve(8080);
  const lines = [VIP, `[${VIP6}]`].flatMap((vip) => [
    `-A -t ${vip}:80 -s ${scheduler} ${options}`,
    ...weights.split(" ").map((weight, i) => {
      const server = vip === VIP ? `10.1.${i + 1}.2` : `[fd00:1:${i + 1}::2]`;
      return `-a -t ${vip}:80 -r ${server}:8080 -m -w ${weight}`;
    }),
  ]);
  b.lb.ipvs.restore(lines.join("\n"));
  return b;
}

describe("connections that stay open", () => {
  test.each([
    ["rr", "1 2 3", "321321321321"],
    ["rr", "1 1 1", "321321321321"],
    ["rr", "0 2 5", "323232323232"],
    ["wrr", "1 2 3", "321332321332"],
    ["wrr", "1 1 1", "321321321321"],
    ["wrr", "0 2 5", "323333232333"],
    ["wrr", "4 2 2", "321132113211"],
    ["sed", "1 2 3", "323321323321"],
    ["sed", "1 1 1", "321321321321"],
    ["sed", "0 2 5", "332333233233"],
    ["sed", "4 2 2", "132113211321"],
    ["nq", "1 2 3", "321332323321"],
    ["nq", "1 1 1", "321321321321"],
    ["nq", "0 2 5", "323333233233"],
    ["nq", "4 2 2", "321113211321"],
    ["fo", "1 2 3", "333333333333"],
    ["fo", "4 2 2", "111111111111"],
    ["dh", "1 2 3", "111111111111"],
    ["lc", "1 1 1", "321321321321"],
    ["lc", "0 2 5", "323232323232"],
    ["lc", "4 2 2", "321321321321"],
    ["wlc", "1 2 3", "321323321323"],
    ["wlc", "1 1 1", "321321321321"],
    ["wlc", "0 2 5", "323323332332"],
    ["wlc", "4 2 2", "321132113211"],
    ["ovf", "1 2 3", "333322211xxx"],
    ["ovf", "0 2 5", "333333222xxx"],
    ["ovf", "4 2 2", "11111333222x"],
  ])("%s among weights %s", (scheduler, weights, expected) => {
    const held = balancer(scheduler, weights).hold(VIP, 80, expected.length);
    expect(held.map((h) => h.server).join("")).toBe(expected);
  });
});

describe("six connections, three of which (the first, third and fourth) close, and six more", () => {
  test.each([
    ["lc", "1 1 1", "321321 313213"],
    ["wlc", "1 2 3", "321323 133231"],
    ["sed", "1 2 3", "323321 333323"],
    ["nq", "1 2 3", "321332 133323"],
  ])("%s among weights %s", (scheduler, weights, expected) => {
    const b = balancer(scheduler, weights);
    const first = b.hold(VIP, 80, 6);
    for (const i of [0, 2, 3]) first[i]?.close();
    const more = b.hold(VIP, 80, 6);
    const texts = [first, more].map((all) => all.map((h) => h.server).join(""));
    expect(texts.join(" ")).toBe(expected);
  });
});

describe("changes between connections", () => {
  test.each([
    ["wrr", "1 2 3", "3213", ["-e -t VIP -r 10.1.1.2:8080 -m -w 4", "313213211313"]],
    [
      "rr",
      "1 1 1",
      "32",
      ["-d -t VIP -r 10.1.2.2:8080", "13131", "-a -t VIP -r 10.1.2.2:8080 -m", "23123"],
    ],
    ["rr", "1 1 1", "", ["-e -t VIP -r 10.1.3.2:8080 -m -x 2", "3213212121"]],
  ])("%s among weights %s chooses %s, then: %s", (scheduler, weights, first, rest) => {
    const b = balancer(scheduler, weights);
    const servers = (count: number) =>
      b
        .hold(VIP, 80, count)
        .map((h) => h.server)
        .join("");
    expect(servers(first.length)).toBe(first);
    for (let i = 0; i < rest.length; i += 2) {
      b.lb.ipvs.command((rest[i] as string).replace("VIP", `${VIP}:80`));
      const expected = rest[i + 1] as string;
      expect(servers(expected.length)).toBe(expected);
    }
  });
});

describe("clients 10.0.0.2 to 10.0.0.40", () => {
  test.each([
    ["sh", "1 2 3", "131323333232332323212132321313233332323"],
    ["sh", "1 1 1", "121323132323312122313132321212331313232"],
    ["sh", "3 0 1", "1311x111x1x131x1x13131313111113x1x1x1x1"],
    ["sh", "100 200 1000", "333333333333333333333333333333333333333"],
    ["mh", "1 2 3", "331331123312233312321123333233332311323"],
    ["mh", "1 1 1", "131331123312213312321121311221132311221"],
    ["mh", "3 0 1", "131111113311111311111111311111111311111"],
    ["mh", "100 200 1000", "331331123313333333333323333333332331323"],
  ])("%s among weights %s", (scheduler, weights, expected) => {
    const b = balancer(scheduler, weights);
    const service = serviceOf(b, VIP);
    const chosen = sources("10.0.0.", 10).map((caddr) => choice(service, caddr, 0, VIP));
    expect(chosen.join("")).toBe(expected);
  });
});

test.each([
  ["sh", "232321213232131313333232322323212132323"],
  ["mh", "333333333233133231223323223131322323322"],
])("%s for clients fd00::2 to fd00::28", (scheduler, expected) => {
  const service = serviceOf(balancer(scheduler, "1 2 3"), VIP6);
  const chosen = sources("fd00::", 16).map((caddr) => choice(service, caddr, 0, VIP6));
  expect(chosen.join("")).toBe(expected);
});

test.each([
  ["sh", "32323212232321313233"],
  ["mh", "13323321313123131212"],
])("%s with its port flag, for ports 41001 to 41020 of one client", (scheduler, expected) => {
  const service = serviceOf(balancer(scheduler, "1 2 3", `-b ${scheduler}-port`), VIP);
  const ports = Array.from({ length: 20 }, (_, i) => 41_001 + i);
  expect(ports.map((port) => choice(service, "10.0.0.2", port, VIP)).join("")).toBe(expected);
});

describe("after weights 3 2 1", () => {
  test.each([
    [
      "sh",
      "server 1 quits",
      "-e -t VIP -r 10.1.1.2:8080 -m -w 0",
      "",
      "2x223232x2x223232x2x2x3232x2x2x3232x2x2",
    ],
    [
      "mh",
      "server 1 quits",
      "-e -t VIP -r 10.1.1.2:8080 -m -w 0",
      "",
      "x3xxxxx222x22xx3x2x2xx2x3xxxxxxx23xx22x",
    ],
    [
      "sh",
      "server 1 quits",
      "-e -t VIP -r 10.1.1.2:8080 -m -w 0",
      "-b sh-fallback",
      "222232322222232322222232322222232322222",
    ],
    [
      "mh",
      "server 1 quits",
      "-e -t VIP -r 10.1.1.2:8080 -m -w 0",
      "-b mh-fallback",
      "232233222222222322222322332232232332222",
    ],
    [
      "sh",
      "server 2 is deleted",
      "-d -t VIP -r 10.1.2.2:8080",
      "",
      "111131311111131311111131311111131311111",
    ],
    [
      "mh",
      "server 2 is deleted",
      "-d -t VIP -r 10.1.2.2:8080",
      "",
      "131111113311111311111111311111111311111",
    ],
  ])("%s when %s", (scheduler, _, change, options, expected) => {
    const b = balancer(scheduler, "3 2 1", options);
    b.lb.ipvs.command(change.replace("VIP", `${VIP}:80`));
    const service = serviceOf(b, VIP);
    const chosen = sources("10.0.0.", 10).map((caddr) => choice(service, caddr, 0, VIP));
    expect(chosen.join("")).toBe(expected);
  });
});

function serviceOf(b: Balancer, address: string) {
  const service = b.lb.ipvs.findService({
    protocol: IPPROTO_TCP,
    address: parseIp(address),
    port: 80,
  });
  if (service === undefined) throw new RangeError(address);
  return service;
}

function sources(prefix: string, radix: number): string[] {
  return Array.from({ length: 39 }, (_, i) => `${prefix}${(i + 2).toString(radix)}`);
}

function choice(
  service: ReturnType<typeof serviceOf>,
  caddr: string,
  cport: number,
  vaddr: string,
) {
  const dest = service.scheduler.schedule({ caddr: parseIp(caddr), cport, vaddr: parseIp(vaddr) });
  if (dest === undefined) return "x";
  // 10.1.N.2, fd00:1:N::2
  const { address } = dest;
  return typeof address === "number" ? (address >>> 8) & 0xff : address.b >>> 16;
}
