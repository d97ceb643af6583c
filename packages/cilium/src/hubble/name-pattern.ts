import { InputError } from "@cnilab/core";

/** A name of DNS, underscores included. */
const ANY_NAME = "(?:[-0-9_a-z]+(?:\\.[-0-9_a-z]+)*)";

/** Reads names of DNS in which `*` stands for anything (pkg/hubble/filters compileFQDNPattern). @throws InputError */
export function namePattern(patterns: readonly string[], flag: string): RegExp {
  return alternatives(patterns.map((pattern) => source(pattern, flag)));
}

/** `node` or `cluster/node`, each such a pattern or empty; matches names that have their cluster before them. */
export function nodeNamePattern(patterns: readonly string[], flag: string): RegExp {
  return alternatives(
    patterns.map((pattern) => {
      const parts = pattern.split("/");
      if (pattern === "" || parts.length > 2) {
        throw new InputError(
          `"${pattern}" is no node; write one as node1, k8s* or cluster/node1`,
          flag,
        );
      }
      const [node = "", cluster = ""] = parts.reverse();
      return [cluster, node].map((part) => (part === "" ? ANY_NAME : source(part, flag))).join("/");
    }),
  );
}

function alternatives(sources: readonly string[]): RegExp {
  return new RegExp(`^(?:${sources.join("|")})$`);
}

function source(pattern: string, flag: string): string {
  const name = pattern.trim().replace(/\.$/, "").toLowerCase();
  if (!/^[-._*0-9a-z]+$/.test(name) || name.endsWith(".")) {
    throw new InputError(
      `"${pattern}" is no name; write one as www.example.com or *.example.com`,
      flag,
    );
  }
  return name.replaceAll(".", "\\.").replaceAll("*", "[-.0-9a-z]*");
}
