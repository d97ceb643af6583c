import { parseManifests } from "@cnilab/cluster";
import { InputError, type KubeObject, type Node } from "@cnilab/core";
import type { KubeProxyMode } from "@cnilab/kube-proxy";
import { RESOURCES } from "./custom-resources.ts";
import type { ProgramIo } from "./program-io.ts";
import { readSource, readSources } from "./read-input.ts";

/** What one agent alone is given. */
export interface RenderFlags {
  readonly node: string;
  readonly filename: readonly string[];
  readonly then: readonly string[];
  readonly config?: string;
  readonly proxyMode?: KubeProxyMode;
  readonly output: string;
}

/** The objects of these files. @throws InputError */
export async function readObjects(io: ProgramIo, paths: readonly string[]): Promise<KubeObject[]> {
  if (paths.length === 0)
    throw new InputError("name the objects with -f, as -f input.yaml", "render");
  const sources = await readSources(io, paths);
  return sources.flatMap(
    ({ name, text }) => parseManifests(text, name, { resources: RESOURCES }).objects,
  );
}

/** @throws InputError */
export async function readJson(io: ProgramIo, path: string): Promise<unknown> {
  const { name, text } = await readSource(io, path);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InputError(`is not JSON (${(error as SyntaxError).message})`, name);
  }
}

/** @throws InputError where it is not among them */
export function findNode(nodes: readonly Node[], name: string): Node {
  const node = nodes.find(({ metadata }) => metadata.name === name);
  if (node !== undefined) return node;
  const known = nodes.map(({ metadata }) => metadata.name).join(", ");
  throw new InputError(`there is no node "${name}" in the input; there are ${known}`, "--node");
}
