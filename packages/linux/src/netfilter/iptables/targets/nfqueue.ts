import { hashIp } from "@cnilab/net";
import { NF_QUEUE } from "../../hooks.ts";
import type { OptionValues, Target, TargetExtension, TargetVerdict } from "../extension.ts";
import { parameterProblem } from "../iptables-error.ts";
import { parseUint, type Range } from "../numbers.ts";
import type { Walk } from "../walk.ts";

/** Lets a program decide: the packet waits in the namespace's hooks until it is reinjected. */
class NfqueueTarget implements Target {
  readonly text: string;
  readonly #queues: Range;

  constructor(queues: Range, values: OptionValues) {
    this.#queues = queues;
    const { min, max } = queues;
    const flags = ["queue-bypass", "queue-cpu-fanout"].filter((flag) => values.has(flag));
    this.text = [
      min === max ? `-j NFQUEUE --queue-num ${min}` : `-j NFQUEUE --queue-balance ${min}:${max}`,
      ...flags.map((flag) => `--${flag}`),
    ].join(" ");
  }

  run(walk: Walk): TargetVerdict {
    walk.netns.network.recording?.unrepeatable();
    return NF_QUEUE;
  }

  effect({ packet }: Walk): string {
    const { min, max } = this.#queues;
    const hash = (hashIp(packet.src) ^ hashIp(packet.dst)) >>> 0;
    return `waits in queue ${min + (hash % (max - min + 1))}`;
  }
}

function parseBalance(text: string): Range | undefined {
  const [low = "", high = ""] = text.split(":", 2);
  const min = parseUint(low, 0xffff);
  const max = parseUint(high, 0xffff);
  return min === undefined || max === undefined || min > max ? undefined : { min, max };
}

export const nfqueue: TargetExtension = {
  name: "NFQUEUE",
  options: [
    { name: "queue-num", args: 1 },
    { name: "queue-balance", args: 1 },
    { name: "queue-bypass", args: 0 },
    { name: "queue-cpu-fanout", args: 0 },
  ],
  parse(values) {
    const balance = values.parsed("queue-balance", parseBalance);
    if (balance !== undefined && values.has("queue-num")) {
      throw parameterProblem(
        'NFQUEUE: option "--queue-num" cannot be used together with "--queue-balance".\n',
      );
    }
    const number = values.parsed("queue-num", (word) => parseUint(word, 0xffff)) ?? 0;
    return new NfqueueTarget(balance ?? { min: number, max: number }, values);
  },
};
