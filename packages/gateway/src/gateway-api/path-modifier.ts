import type { PathModifier } from "@cnilab/core";
import { withoutEndSlash } from "../routing/path-index.ts";

/** A path as a redirect or a rewrite changes it (apis/v1/httproute_types.go HTTPPathModifier). */
export function modifiedPath(
  modifier: PathModifier | undefined,
  path: string,
  /** Of the match that took the request. */
  prefix: string,
): string {
  if (modifier === undefined) return path;
  if (modifier.type === "ReplaceFullPath") return withRoot(modifier.replaceFullPath);
  const rest = path.slice(withoutEndSlash(prefix).length);
  return withRoot(`${withoutEndSlash(modifier.replacePrefixMatch)}${rest}`);
}

function withRoot(path: string): string {
  return path.startsWith("/") ? path : `/${path}`;
}
