// On each overlay between Weave's nodes. weave-npc takes no policies with named ports.
import { registerKubeProxy } from "@cnilab/kube-proxy";
import type { PolicyReader } from "@cnilab/network-policy";
import { weave } from "@cnilab/weave";
import { applicationTests } from "./applications.ts";

const OVERLAYS = [
  { name: "fastdp", cniOptions: {} },
  { name: "sleeve", cniOptions: { fastdp: false } },
  { name: "sleeve, encrypted", cniOptions: { fastdp: false, encryption: "secret" } },
  { name: "fastdp, encrypted", cniOptions: { encryption: "secret" } },
];

for (const { name, cniOptions } of OVERLAYS) {
  applicationTests(
    `applications on Weave, ${name}`,
    { cni: weave, cniOptions, register: registerKubeProxy },
    weave.policyReader as PolicyReader,
    undefined,
    { namedPorts: false },
  );
}
