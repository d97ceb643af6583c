// The rules of CONTRIBUTING.md that a machine can check. Each test is named after the package, so that what fails says
// whose it is.

import { existsSync, globSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build, transform } from "esbuild";
import { describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));

/** From the vocabulary up. A package imports only from rows above its own. */
const LAYERS = [
  ["net"],
  ["core"],
  ["linux"],
  ["windows"],
  ["bgp"],
  ["cni-plugins", "kube-proxy", "network-policy", "dns", "gateway", "cloud"],
  ["flannel", "calico", "cilium", "weave", "docker"],
  ["cluster"],
  ["inspect"],
  ["conformance"],
  ["import"],
  ["realize"],
];
const CNIS = ["flannel", "calico", "cilium", "weave"];
/** Packages below the apps that are for Node alone, and say so. */
const NODE_ONLY = ["realize"];
/** What would make two runs of one seed differ, or not run in a browser. */
const FORBIDDEN = [
  "Math.random",
  "Date.now",
  "Date",
  "performance.now",
  "setTimeout",
  "setInterval",
  "setImmediate",
  "process",
];

interface Manifest {
  readonly name: string;
  readonly exports: Readonly<Record<string, unknown>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

interface SourceFile {
  /** Relative to the package's folder. */
  readonly path: string;
  readonly text: string;
  readonly isTest: boolean;
}

interface Import {
  readonly specifier: string;
  /** `import type` or `export type`, which the compiler erases. */
  readonly typeOnly: boolean;
  /** 1-based. */
  readonly line: number;
}

class WorkspacePackage {
  readonly folder: string;
  readonly manifest: Manifest;
  readonly files: readonly SourceFile[];

  constructor(folder: string) {
    this.folder = folder;
    this.manifest = JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8"));
    this.files = globSync("{src,test,bench}/**/*.ts", { cwd: join(root, folder) })
      .sort()
      .map((path) => ({
        path,
        text: readFileSync(join(root, folder, path), "utf8"),
        isTest: !path.startsWith("src/") || /\.(test|bench)\.ts$/.test(path),
      }));
  }

  get shortName(): string {
    return basename(this.folder);
  }

  get isApp(): boolean {
    return this.folder.startsWith("apps/");
  }

  /** Row of the table; apps stand below it, and -1 is a package that the table does not have. */
  get layer(): number {
    return this.isApp ? LAYERS.length : LAYERS.findIndex((row) => row.includes(this.shortName));
  }

  get source(): readonly SourceFile[] {
    return this.files.filter(({ isTest }) => !isTest);
  }
}

const packages = globSync("{packages,apps}/*/package.json", { cwd: root })
  .sort()
  .map((path) => new WorkspacePackage(dirname(path)));
const byName = new Map(packages.map((each) => [each.manifest.name, each]));
const belowApps = packages.filter(({ isApp }) => !isApp);
const portable = belowApps.filter(({ shortName }) => !NODE_ONLY.includes(shortName));

describe.each(packages.map((each) => [each.folder, each] as const))("%s", (_, each) => {
  test("has a place among the layers", () => {
    expect(each.layer, "its row in LAYERS of tools/layers.test.ts").toBeGreaterThanOrEqual(0);
  });

  test("depends only on layers below its own", () => {
    const { dependencies, peerDependencies, devDependencies } = each.manifest;
    const names = Object.keys({ ...dependencies, ...peerDependencies, ...devDependencies });
    expect(names.filter((name) => isUpward(each, name))).toEqual([]);
  });

  test("imports only what it declares, and only what is exported", () => {
    const wrong = each.files.flatMap((file) =>
      importsOf(file.text).flatMap(({ specifier, line }) => {
        const reason = importFault(each, file, specifier);
        return reason
          ? [`${each.folder}/${file.path}:${line} imports "${specifier}": ${reason}`]
          : [];
      }),
    );
    expect(wrong).toEqual([]);
  });

  test("has no cyclic imports at run time", () => {
    expect(cycles(each)).toEqual([]);
  });
});

describe.each(portable.map((each) => [each.folder, each] as const))("%s", (_, each) => {
  test("imports nothing of Node's", () => {
    const found = each.source.flatMap(({ path, text }) =>
      importsOf(text)
        .filter(({ specifier }) => isNodeModule(specifier))
        .map(({ specifier, line }) => `${each.folder}/${path}:${line} imports "${specifier}"`),
    );
    expect(found).toEqual([]);
  });

  test("reads neither the machine's clock nor its random numbers", async () => {
    const found = await Promise.all(each.source.map((file) => forbiddenNames(each, file)));
    expect(found.flat()).toEqual([]);
  });
});

describe.each(belowApps.map((each) => [each.folder, each] as const))("%s", (_, each) => {
  test("has a README that says what it models, what not, and shows it", () => {
    const path = join(root, each.folder, "README.md");
    const text = existsSync(path) ? readFileSync(path, "utf8") : "";
    const missing = ["What it models", "What is not modelled"].filter(
      (title) => !new RegExp(`^#+ ${title}\\s*$`, "m").test(text),
    );
    if (!/^```ts\b/m.test(text)) missing.push("an example in ```ts");
    if (!text) missing.unshift("the file itself");
    expect(missing.join(", "), `missing in ${each.folder}/README.md`).toBe("");
  });
});

test("everything below the apps bundles for a browser", async () => {
  const { metafile, warnings } = await build({
    stdin: {
      contents: portable
        .map(({ folder }, i) => `export * as p${i} from "./${folder}/src/index.ts";`)
        .join("\n"),
      resolveDir: root,
    },
    bundle: true,
    format: "esm",
    platform: "browser",
    write: false,
    metafile: true,
    logLevel: "silent",
  });
  expect(warnings.map(({ text }) => text)).toEqual([]);
  const imports = Object.values(metafile.inputs).flatMap((input) => input.imports);
  expect(imports.filter(({ path }) => isNodeModule(path)).map(({ path }) => path)).toEqual([]);
});

test("the rules see what they are meant to see", async () => {
  expect(
    importsOf(
      [
        'import type { A } from "./a.ts";',
        "import {",
        "  b,",
        '} from "@cnilab/net";',
        'export * from "./c.ts";',
        'import "side-effect";',
        ' * import { example } from "@cnilab/cluster";',
        '// import("nothing")',
        'const later = import("./d.ts");',
      ].join("\n"),
    ),
  ).toEqual([
    { specifier: "./a.ts", typeOnly: true, line: 1 },
    { specifier: "@cnilab/net", typeOnly: false, line: 2 },
    { specifier: "./c.ts", typeOnly: false, line: 5 },
    { specifier: "side-effect", typeOnly: false, line: 6 },
    { specifier: "./d.ts", typeOnly: false, line: 9 },
  ]);
  const found = await forbiddenNames(new WorkspacePackage("packages/net"), {
    path: "src/x.ts",
    text: [
      "// Math.random() in a comment",
      'export const text = "process.env";',
      "export const a = Math.random();",
      "export const b: Date = new Date(0);",
      "export function c(process: { exit(): void }): void { process.exit(); }",
      "export const d = process.argv;",
      "export const e = (x: unknown): boolean => x instanceof Date;",
    ].join("\n"),
    isTest: false,
  });
  expect(found).toEqual([
    "packages/net/src/x.ts uses Math.random",
    "packages/net/src/x.ts uses new Date",
    "packages/net/src/x.ts uses process",
  ]);
});

// ---- helpers ---------------------------------------------------------------------------------------------------------

/** Whether a package may not depend on the workspace package of that name. */
function isUpward(from: WorkspacePackage, name: string): boolean {
  const to = byName.get(name);
  if (to === undefined) return false;
  // The cluster finds a CNI by name and injection, never by import.
  if (from.shortName === "cluster" && CNIS.includes(to.shortName)) return true;
  // Apps bring the examples along, which know none of them.
  if (from.isApp && to.shortName === "examples") return from === to;
  return to.layer >= from.layer;
}

/** Why a file may not import that, or undefined where it may. */
function importFault(
  from: WorkspacePackage,
  file: SourceFile,
  specifier: string,
): string | undefined {
  if (specifier.startsWith(".")) {
    const target = relative(root, join(root, from.folder, dirname(file.path), specifier));
    if (target.startsWith(`${from.folder}/`)) return undefined;
    if (file.isTest && /^tools\/vector-\w+\.ts$/.test(target)) return undefined;
    return "a relative import stays inside its package";
  }
  if (isNodeModule(specifier)) return undefined;
  const name = specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
  const { dependencies, peerDependencies, devDependencies } = from.manifest;
  const declared = {
    ...dependencies,
    ...peerDependencies,
    ...(file.isTest ? devDependencies : undefined),
  };
  if (name !== from.manifest.name && !(name in declared)) {
    return `${name} is not among its ${file.isTest ? "" : "run-time "}dependencies`;
  }
  const to = byName.get(name);
  if (to === undefined) return undefined;
  if (to !== from && isUpward(from, name)) return `${name} is not in a layer below`;
  const subpath = `.${specifier.slice(name.length)}`;
  if (!(subpath in to.manifest.exports)) return `${name} does not export "${subpath}"`;
  return undefined;
}

/**
 * Import cycles of a package's files, as `a.ts → b.ts → a.ts`. Types may refer to each other across files (a device
 * knows its namespace, a namespace its devices): only imports that exist at run time count.
 */
function cycles({ folder, source }: WorkspacePackage): string[] {
  const edges = new Map(
    source.map(({ path, text }) => [
      path,
      importsOf(text)
        .filter(({ specifier, typeOnly }) => specifier.startsWith(".") && !typeOnly)
        .map(({ specifier }) => relative(folder, join(folder, dirname(path), specifier))),
    ]),
  );
  const found: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path);
    if (start >= 0) found.push([...trail.slice(start), path].join(" → "));
    if (start >= 0 || done.has(path)) return;
    for (const next of edges.get(path) ?? []) visit(next, [...trail, path]);
    done.add(path);
  };
  for (const path of edges.keys()) visit(path, []);
  return found;
}

/** Everything that a source file imports, types included. Relies on the formatter: statements start a line. */
function importsOf(text: string): Import[] {
  const found: Import[] = [];
  for (const pattern of [
    /^(?:import|export)\b[^;"'`=]*?\bfrom\s*["']([^"']+)["']/gm,
    /^import\s*["']([^"']+)["']/gm,
    /^(?!\s*(?:\/?\*|\/\/)).*?\bimport\(\s*["']([^"']+)["']/gm,
  ]) {
    for (const match of text.matchAll(pattern)) {
      const line = text.slice(0, match.index).split("\n").length;
      const typeOnly = /^(?:import|export)\s+type\s/.test(match[0]);
      found.push({ specifier: match[1] ?? "", typeOnly, line });
    }
  }
  return found.sort((a, b) => a.line - b.line);
}

/**
 * Uses of FORBIDDEN, found by the compiler: it replaces true uses of a global by a name that can be searched for, and
 * neither comments, strings, types nor local variables of the same name.
 */
async function forbiddenNames({ folder }: WorkspacePackage, file: SourceFile): Promise<string[]> {
  const mark = (name: string): string => `__forbidden_${name.replace(".", "_")}`;
  const { code } = await transform(file.text, {
    loader: "ts",
    define: Object.fromEntries(FORBIDDEN.map((name) => [name, mark(name)])),
  });
  return FORBIDDEN.map((name) => (name === "Date" ? `new ${name}` : name))
    .filter((name) => new RegExp(`\\b${name.replace(/\S+$/, mark)}\\b`).test(code))
    .map((name) => `${folder}/${file.path} uses ${name}`);
}

function isNodeModule(specifier: string): boolean {
  return specifier.startsWith("node:") || builtinModules.includes(specifier);
}
