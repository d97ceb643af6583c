import { type ContainerProgram, imageName } from "@cnilab/core";
import type { NetNamespace } from "@cnilab/linux";
import { CoreDnsProcess } from "./core-dns-process.ts";
import { flagOf } from "./program-arguments.ts";

/** Containers of an image `coredns` run CoreDNS, with the Corefile that `-conf` names. */
export const CORE_DNS_PROGRAM: ContainerProgram<NetNamespace> = {
  name: "coredns",
  runs: ({ image }) => imageName(image) === "coredns",
  start: (context) => {
    const path = flagOf(context.container, "conf") ?? "/Corefile";
    return new CoreDnsProcess(context, { path, read: () => context.readFile(path) });
  },
};
