import { IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { Balancer } from "../../test/balancer.ts";

const VIP = "10.96.0.10";
const VIP6 = "fd00:96::a";

/** Three servers with weights 1, 2 and 3 behind both virtual addresses. */
function balancer(scheduler: string, option = "-t", options = ""): Balancer {
  const b = new Balancer(3);
  const lines = [VIP, `[${VIP6}]`].flatMap((vip) => [
    `-A ${option} ${vip}:80 -s ${scheduler} ${options}`,
    ...[1, 2, 3].map((n) => {
      const server = vip === VIP ? `10.1.${n}.2` : `[fd00:1:${n}::2]`;
      return `-a ${option} ${vip}:80 -r ${server}:8080 -m -w ${n}`;
    }),
  ]);
  b.lb.ipvs.restore(lines.join("\n"));
  return b;
}

const PROTOCOLS: [name: string, protocol: number, option: string][] = [
  ["TCP", IPPROTO_TCP, "-t"],
  ["UDP", IPPROTO_UDP, "-u"],
  ["SCTP", IPPROTO_SCTP, "--sctp-service"],
];

describe.each(PROTOCOLS)("%s", (_, protocol, option) => {
  test.each([VIP, VIP6])("to %s: the servers in turn, the one added last first", (vip) => {
    const b = balancer("rr", option).serve(8080, protocol);
    const answers = Array.from({ length: 6 }, () => b.ask(vip, 80, { protocol }));
    expect(answers).toEqual([3, 2, 1, 3, 2, 1]);
  });
});
