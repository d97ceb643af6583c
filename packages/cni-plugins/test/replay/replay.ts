import { CniError, type NetworkConfigList, SeededRandom, VirtualClock } from "@cnilab/core";
import { Kernel, type NetNamespace, Network } from "@cnilab/linux";
import { CniRuntime, PLUGINS, type PluginExecution } from "../../src/index.ts";
import type { Expected, Input, NamespaceState, Printed, State, Step } from "./case.ts";
import { differences, different } from "./compare.ts";
import { recordedHost, runOnHost } from "./host-shell.ts";
import { ipamFiles, stateOf } from "./kernel-state.ts";
import { Names } from "./names.ts";

/** Runs a case, and says how it differs from what was recorded. */
export function replay(input: Input, expected: Expected): string[] {
  const network = new Network(new VirtualClock(), new SeededRandom(1));
  const kernel = new Kernel(network, "node");
  recordedHost(kernel);
  for (const line of input.hostSetup ?? []) runOnHost(kernel, line);
  if (input.subnetEnv !== undefined) {
    kernel.files.write("/run/flannel/subnet.env", input.subnetEnv);
  }
  const containers = [...new Set(input.steps.map((step) => step.container))];
  for (const name of containers) kernel.addNamespace(name);

  const steps: { plugins: Printed[]; state?: State; ipamFiles: Record<string, string> }[] = [];
  for (const step of input.steps) {
    const plugins = runStep(kernel, input, step);
    const state = step.snapshot ? snapshot(kernel, containers) : undefined;
    steps.push({
      plugins,
      ...(state !== undefined && { state }),
      ipamFiles: ipamFiles(kernel.files, ipamFolders(input)),
    });
  }
  const final = snapshot(kernel, containers);
  const actual = { steps, final };
  const names = Names.learn(expected, actual);
  const withSysctl = {
    steps: steps.map((step, i) => ({
      ...step,
      ...(step.state && { state: addSysctl(step.state, expected.steps[i]?.state ?? {}, names) }),
    })),
    final: addSysctl(final, expected.final, names),
  };
  const found = differences(expected, withSysctl);
  for (const [i, step] of expected.steps.entries()) {
    if (step.ipamFiles === undefined) continue;
    found.push(...different(`step ${i} ipamFiles`, step.ipamFiles, steps[i]?.ipamFiles));
  }
  if (expected.ipamFiles !== undefined) {
    found.push(...different("final ipamFiles", expected.ipamFiles, steps.at(-1)?.ipamFiles));
  }
  return found;
}

function runStep(kernel: Kernel, input: Input, step: Step): Printed[] {
  const printed: Printed[] = [];
  const observe = ({ type, result, error }: PluginExecution) => {
    printed.push({
      plugin: type,
      exit: error === undefined ? 0 : 1,
      stdout: error === undefined ? (result ?? null) : errorObject(error),
    });
  };
  const runtime = new CniRuntime({ host: kernel, plugins: PLUGINS, observe });
  const list = step.conflist ?? input.conflist;
  const rt = {
    containerId: step.containerID ?? step.container,
    netns: `/run/netns/${step.container}`,
    ifName: step.ifname ?? "eth0",
    args: step.args ?? "",
    ...(step.capabilityArgs !== undefined && { capabilityArgs: step.capabilityArgs }),
  };
  try {
    if (step.op === "ADD") runtime.addNetworkList(list, rt);
    else if (step.op === "DEL") runtime.delNetworkList(list, rt);
    else runtime.checkNetworkList(list, rt);
  } catch (error) {
    if (!(error instanceof CniError)) throw error;
    // libcni refuses what the recorder still asked the plugin for.
    const [first] = list.plugins;
    if (printed.length === 0 && step.op === "CHECK" && first !== undefined) {
      const stdout = { code: 1, msg: "config version does not allow CHECK" };
      printed.push({ plugin: first.type, exit: 1, stdout });
    }
  }
  return printed;
}

function errorObject({ code, message, details }: CniError): unknown {
  return { code, msg: message, ...(details !== undefined && { details }) };
}

function snapshot(kernel: Kernel, containers: readonly string[]): State {
  const state: Record<string, NamespaceState> = { host: dump(kernel.initNs, true) };
  for (const name of containers) {
    const netns = kernel.findNamespace(name);
    if (netns !== undefined) state[name] = dump(netns, false);
  }
  return state;
}

/** With a way to read a sysctl as it is at this moment. */
function dump(netns: NetNamespace, shown: boolean): NamespaceState {
  return { ...stateOf(netns, shown), sysctl: Object.fromEntries(netns.sysctl.entries()) };
}

/** Of all the sysctls, those that were recorded. */
function addSysctl(state: State, expected: State, names: Names): State {
  return Object.fromEntries(
    Object.entries(state).map(([name, namespace]) => {
      const sysctl: Record<string, string> = {};
      for (const path of Object.keys(expected[name]?.sysctl ?? {})) {
        const own = path.replace(/<veth[0-9]+>/, (placeholder) => names.original(placeholder));
        sysctl[path] = namespace.sysctl?.[own] ?? "no such sysctl";
      }
      return [name, { ...namespace, sysctl }];
    }),
  );
}

/** Where the networks of a case keep their addresses. */
function ipamFolders(input: Input): Set<string> {
  const lists: NetworkConfigList[] = [input.conflist];
  for (const step of input.steps) if (step.conflist !== undefined) lists.push(step.conflist);
  return new Set(
    lists.flatMap(({ name, plugins }) =>
      plugins.map(({ ipam }) => `${ipam?.["dataDir"] ?? "/var/lib/cni/networks"}/${name}`),
    ),
  );
}
