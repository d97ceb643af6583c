import { type CniModel, InputError } from "@cnilab/core";
import type { ChosenCni } from "../cluster-flags.ts";
import { loadModel, NO_CNI } from "../load-model.ts";
import { readModelOptions } from "../model-options.ts";
import type { ProgramIo } from "../program-io.ts";
import { readSources } from "../read-input.ts";

/** One column of a comparison. */
export interface ComparedCni extends ChosenCni {
  /** A short name that no other has. */
  readonly label: string;
  /** What the user wrote of it in the list. */
  readonly written: string;
  /** Options that are its own, as they were written. */
  readonly settings: readonly string[];
  /** As `v0.28.9`; empty for a network of one's own. */
  readonly release: string;
}

/** The CNIs as the user wrote them, and what the user should be told of their options. */
export interface ComparedCnis {
  readonly cnis: readonly ComparedCni[];
  readonly warnings: readonly string[];
}

/** What `--cni` has of one CNI: `NAME`, or `NAME:key=value,key=value`. */
interface Written {
  readonly name: string;
  readonly settings: string[];
}

/** Names and files have colons seldom, and never an option's key behind them. */
const WITH_OPTION = /^(.+?):([\w.-]+(?:=.*)?)$/s;
const OPTION = /^[\w.-]+=/;

/**
 * Reads `a,b:key=value,key=value,c`: a part with `=` and no name before it is a further option of the CNI before it. Options of
 * `--cni-set` and files of `--cni-values` are for every CNI that knows them.
 * @throws InputError for less than two CNIs, two that are the same, and what nobody knows
 */
export async function readComparedCnis(
  io: ProgramIo,
  list: string,
  cniSet: readonly string[],
  cniValues: readonly string[],
): Promise<ComparedCnis> {
  const written = readList(list);
  const models = new Map<string, CniModel | undefined>();
  for (const { name } of written) models.set(name, await loadModel(io, name));
  const files = await readSources(io, cniValues);
  for (const setting of cniSet) checkSomebodyKnows(setting, [...models.values()]);
  if (files.length > 0 && ![...models.values()].some((m) => m?.chartSections !== undefined)) {
    throw new InputError("none of these CNIs takes a file of Helm values", "--cni-values");
  }
  const labels = labelsOf(written, models);
  const warnings: string[] = [];
  const cnis = written.map(({ name, settings }, i) => {
    const model = models.get(name);
    const common = cniSet.filter((setting) => knows(model, setting));
    const read = readModelOptions(
      model,
      [...common, ...settings],
      model?.chartSections === undefined ? [] : files,
    );
    warnings.push(...read.warnings);
    return {
      model,
      options: read.options,
      label: labels[i] as string,
      written: settings.length === 0 ? name : `${name}:${settings.join(",")}`,
      settings,
      release: model === undefined || model.release === "-" ? "" : model.release,
    };
  });
  return { cnis, warnings: [...new Set(warnings)] };
}

/** Longer names would leave no room to others on a screen. */
const LONGEST_LABEL = 26;

/**
 * The model's name where it stands there once; of several with options those as well, or a number where that would be too long; of
 * modules of one's own that call themselves alike, what the user wrote.
 * @throws InputError for two that are the same
 */
function labelsOf(
  written: readonly Written[],
  models: ReadonlyMap<string, CniModel | undefined>,
): string[] {
  const own = written.map(({ name }) => models.get(name)?.name ?? NO_CNI);
  const wholes = written.map(({ name, settings }) => [name, ...settings].join(" "));
  const twice = wholes.find((whole, i) => wholes.indexOf(whole) !== i);
  if (twice !== undefined) {
    const [name] = twice.split(" ");
    throw new InputError(
      `${twice.replace(" ", ":")} stands there twice; tell them apart by an option, as ${name}:KEY=value`,
      "--cni",
    );
  }
  return written.map(({ name, settings }, i) => {
    const alike = own.filter((other) => other === own[i]).length;
    if (alike === 1) return own[i] as string;
    const sameFile = written.filter((other) => other.name === name).length;
    const called = sameFile < alike ? name : (own[i] as string);
    const whole = settings.length === 0 ? called : `${called}:${settings.join(",")}`;
    if (whole.length <= LONGEST_LABEL) return whole;
    return `${own[i]}#${own.slice(0, i + 1).filter((other) => other === own[i]).length}`;
  });
}

function readList(list: string): Written[] {
  const written: Written[] = [];
  for (const part of list.split(",").map((each) => each.trim())) {
    const last = written.at(-1);
    if (last !== undefined && OPTION.test(part)) {
      last.settings.push(part);
      continue;
    }
    if (part === "") {
      throw new InputError(`a name is missing in "${list}"; write them as flannel,calico`, "--cni");
    }
    const [, name, setting] = WITH_OPTION.exec(part) ?? [];
    written.push(
      name === undefined || setting === undefined
        ? { name: part, settings: [] }
        : { name, settings: [setting] },
    );
  }
  if (written.length > 1) return written;
  throw new InputError(
    `compares CNIs, and "${list}" is one; name another, as --cni ${list},calico, or the same with other options, as flannel,flannel:backend=host-gw`,
    "compare",
  );
}

function knows(model: CniModel | undefined, setting: string): boolean {
  const [key] = setting.split("=", 1);
  return model?.options.some((option) => option.key === key) === true;
}

/** @throws InputError as for the first model, where there is none that knows it */
function checkSomebodyKnows(setting: string, models: readonly (CniModel | undefined)[]): void {
  if (models.some((model) => knows(model, setting))) return;
  const [key] = setting.split("=", 1);
  const names = models.map((model) => model?.name ?? NO_CNI).join(", ");
  throw new InputError(
    `none of ${names} has an option "${key}"; cnilab cni list has them all`,
    "--cni-set",
  );
}
