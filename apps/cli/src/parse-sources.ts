import { parseManifests } from "@cnilab/cluster/objects";
import type { CustomResource, KubeObject } from "@cnilab/core";
import { RESOURCES } from "./custom-resources.ts";
import type { Source } from "./read-input.ts";

export interface ParsedSources {
  readonly objects: readonly KubeObject[];
  readonly warnings: readonly string[];
}

/** Objects of all sources, and which kinds of them are left out. @throws InputError */
export function parseSources(
  sources: readonly Source[],
  alsoKinds: Readonly<Record<string, string>> = {},
  resources: readonly CustomResource[] = RESOURCES,
): ParsedSources {
  const objects: KubeObject[] = [];
  const ignored = new Map<string, number>();
  for (const { name, text } of sources) {
    const manifest = parseManifests(text, name, { alsoKinds, resources });
    objects.push(...manifest.objects);
    for (const { kind, count } of manifest.ignored) {
      ignored.set(kind, (ignored.get(kind) ?? 0) + count);
    }
  }
  if (ignored.size === 0) return { objects, warnings: [] };
  const kinds = [...ignored].map(([kind, count]) => (count > 1 ? `${kind} (${count})` : kind));
  return { objects, warnings: [`not simulated, and left out: ${kinds.join(", ")}`] };
}
