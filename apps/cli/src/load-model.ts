import { existsSync, readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { type CniModel, InputError } from "@cnilab/core";
import type { ProgramIo } from "./program-io.ts";

/** Models that come with cnilab; each brings a package along that only those load who use it. */
const MODELS: ReadonlyMap<string, () => Promise<CniModel>> = new Map([
  ["flannel", async () => (await import("@cnilab/flannel")).flannel],
  ["calico", async () => (await import("@cnilab/calico")).calico],
  ["cilium", async () => (await import("@cnilab/cilium")).cilium],
  ["weave", async () => (await import("@cnilab/weave")).weave],
]);

/** What `--cni` calls them. */
export const MODEL_NAMES: readonly string[] = [...MODELS.keys()];

/** What `--cni` takes for a cluster without a network plugin. */
export const NO_CNI = "none";

/**
 * The model of that name: one of ours, a path to a module, or an npm package seen from the working
 * directory.
 * @throws InputError where there is none, or what is there is no model
 */
export async function loadModel(io: ProgramIo, name: string): Promise<CniModel | undefined> {
  if (name === NO_CNI) return undefined;
  const known = MODELS.get(name);
  if (known !== undefined) return known();
  const module = await load(find(io, name), name);
  const model = [module["default"], module["cni"], ...Object.values(module)].find(isModel);
  if (model !== undefined) return model;
  throw new InputError(
    `${name} exports no CNI model: an object with name, release, description, options and register`,
    "--cni",
  );
}

/** All that come with cnilab. */
export function allModels(): Promise<readonly CniModel[]> {
  return Promise.all([...MODELS.values()].map((load) => load()));
}

/** The file that a path or the name of a package means, seen from the working directory. */
function find(io: ProgramIo, name: string): string {
  const path = resolve(io.cwd(), name);
  if (statSync(path, { throwIfNoEntry: false })?.isFile()) return path;
  const isPath = name === "" || /^(\.{0,2}\/|[a-z]:)/i.test(name);
  const found = isPath ? undefined : findPackage(io, name);
  if (found !== undefined) return found;
  const names = [...MODEL_NAMES, NO_CNI].join(", ");
  throw new InputError(
    `there is no model "${name}"; known are ${names}, or give an npm package or a path`,
    "--cni",
  );
}

function findPackage(io: ProgramIo, name: string): string | undefined {
  const { resolve: find } = createRequire(resolve(io.cwd(), "package.json"));
  try {
    return find(name);
  } catch {
    // Packages for `import` alone are not for `require.resolve`, and Node has nothing else to ask.
    for (const folder of find.paths(name) ?? []) {
      const manifest = join(folder, name, "package.json");
      if (!existsSync(manifest)) continue;
      const entry = importEntry(JSON.parse(readFileSync(manifest, "utf8")).exports);
      return entry && join(folder, name, entry);
    }
    return undefined;
  }
}

/** What `exports` of a package.json has for whoever imports the package itself. */
function importEntry(exports: unknown): string | undefined {
  if (typeof exports === "string") return exports;
  for (const [condition, value] of Object.entries(exports ?? {})) {
    if (![".", "node", "import", "default"].includes(condition)) continue;
    const entry = importEntry(value);
    if (entry !== undefined) return entry;
  }
  return undefined;
}

async function load(file: string, name: string): Promise<Record<string, unknown>> {
  try {
    return await import(pathToFileURL(file).href);
  } catch (error) {
    const { message } = error as Error;
    throw new InputError(`${name} cannot be loaded: ${message}`, "--cni", { cause: error });
  }
}

function isModel(value: unknown): value is CniModel {
  if (typeof value !== "object" || value === null) return false;
  const { name, options, register } = value as Partial<CniModel>;
  return typeof name === "string" && Array.isArray(options) && typeof register === "function";
}
