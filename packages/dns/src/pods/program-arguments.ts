import type { Container } from "@cnilab/core";

/** The value of a flag in Go's manner: `-conf FILE`, `--conf FILE` or `-conf=FILE`. */
export function flagOf({ command = [], args = [] }: Container, name: string): string | undefined {
  const words = [...command, ...args];
  for (const [i, word] of words.entries()) {
    const match = /^--?([^=]+)(?:=(.*))?$/.exec(word);
    if (match?.[1] === name) return match[2] ?? words[i + 1];
  }
  return undefined;
}

/** `v1.13.1` of `coredns/coredns:v1.13.1`; empty where there is none. */
export function imageTag(image: string | undefined): string {
  const [path = ""] = (image ?? "").split("@");
  return (path.split("/").at(-1) ?? "").split(":")[1] ?? "";
}
