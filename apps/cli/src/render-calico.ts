import { StandAloneFelix, type v3 } from "@cnilab/calico";
import { parseManifests } from "@cnilab/cluster";
import { InputError } from "@cnilab/core";
import { IpsetError, IptablesError, type NetNamespace, NftablesError } from "@cnilab/linux";
import { RESOURCES } from "./custom-resources.ts";
import type { ProgramIo } from "./program-io.ts";
import { type RenderFlags, readJson, readObjects } from "./render-input.ts";
import { renderMachine } from "./render-machine.ts";

type Output = (netns: NetNamespace, felix: StandAloneFelix) => string;

/** By `-o`. */
const OUTPUTS: Readonly<Record<string, Output>> = {
  felix: (_, felix) => felix.written(4),
  felix6: (_, felix) => felix.written(6),
  iptables: (netns) => netns.iptables(4).save(),
  ip6tables: (netns) => netns.iptables(6).save(),
  ipset: (netns) => netns.ipsets.save(),
  nftables: (netns) => netns.nftables.list(),
  "nftables-json": (netns) => `${JSON.stringify(netns.nftables.json(), undefined, 2)}\n`,
};

/** What Felix alone programs about policies, as the real tools print it, or as Felix writes it to them. @throws InputError */
export async function renderCalico(io: ProgramIo, flags: RenderFlags): Promise<string> {
  const print = OUTPUTS[flags.output];
  if (print === undefined) {
    const known = Object.keys(OUTPUTS).join(", ");
    throw new InputError(`calico has no output "${flags.output}"; it has ${known}`, "-o");
  }
  const inputs = [await readObjects(io, flags.filename)];
  for (const path of flags.then) inputs.push(await readObjects(io, [path]));
  const kernel = renderMachine(flags.node, inputs[0] ?? []);
  const felix = new StandAloneFelix(kernel.initNs, flags.node, await environment(io, flags));
  try {
    for (const objects of inputs) felix.apply(objects);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    throw new InputError(`Felix gives up: ${error.message.split("\n", 1)[0]}`, flags.node);
  }
  for (const [object, problem] of felix.problems) {
    io.stderr.write(`cnilab: warning: Felix passes over ${object}: ${problem}\n`);
  }
  return print(kernel.initNs, felix);
}

/** FelixConfiguration's fields, alone or as the object; without a word about it the dataplane is the one that has the output. */
async function environment(
  io: ProgramIo,
  { config, output }: RenderFlags,
): Promise<v3.FelixConfigurationSpec> {
  const forNftables = output.startsWith("nftables");
  const preset = { nftablesMode: forNftables ? "Enabled" : "Disabled" } as const;
  if (config === undefined) return preset;
  const given = await readJson(io, config);
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new InputError("is no JSON object, as a FelixConfiguration's spec is", config);
  }
  const { spec = given } = given as { readonly spec?: object };
  checkSpec(spec, config);
  return { ...preset, ...spec };
}

/** As where FelixConfiguration `default` is among the objects. @throws InputError */
function checkSpec(spec: object, path: string): void {
  const metadata = { name: "default" };
  const object = { apiVersion: "projectcalico.org/v3", kind: "FelixConfiguration", metadata, spec };
  parseManifests(JSON.stringify(object), path, { resources: RESOURCES });
}

function isRefusal(error: unknown): error is Error {
  return (
    error instanceof IptablesError || error instanceof NftablesError || error instanceof IpsetError
  );
}
