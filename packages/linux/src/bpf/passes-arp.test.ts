import { expect, test } from "vitest";
import { Lab, ping } from "../../test/lab.ts";
import { BpfProgram } from "./bpf-program.ts";
import type { TcContext } from "./tc-context.ts";
import { attachTcx } from "./tc-hook.ts";
import { TC_ACT_OK } from "./verdict.ts";

test.each([true, false])(
  "who lets ARP pass is asked where it means something to the machine, who says nothing always (%s)",
  (passesArp) => {
    const lab = new Lab();
    const asked: string[] = [];
    const hosts = ["a", "b", "c", "d"].map((name, i) => {
      const netns = lab.host(name, `10.0.0.${i + 1}/24`);
      const run = (ctx: TcContext): number => {
        if (ctx.isArp) asked.push(name);
        return TC_ACT_OK;
      };
      const program = new BpfProgram(netns.kernel, {
        type: "sched_cls",
        name: "note",
        run,
        passesArp,
      });
      attachTcx(netns.device("eth0"), "ingress", program);
      return netns;
    });
    const [a] = hosts;
    expect(a && ping(a, "10.0.0.2").outcome).toBe("connected");
    // b is asked, and a hears the answer.
    expect(asked).toEqual(passesArp ? ["b", "a"] : ["b", "c", "d", "a"]);
  },
);
