import { CorefileError, type Token } from "./corefile-error.ts";
import { tokenize } from "./tokens.ts";

/** One use of a plugin in a server block: its name, its arguments and, between braces, its properties. */
export interface Directive {
  readonly name: Token;
  readonly tokens: readonly Token[];
}

export interface ServerBlock {
  readonly keys: readonly Token[];
  readonly directives: readonly Directive[];
}

export interface CorefileSource {
  readonly text: string;
  /** For messages, and what paths in it are relative to. */
  readonly file: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** The files that an `import` of a path or a pattern with `*` names, in order. */
  readonly importFiles?: (pattern: string, from: string) => readonly ImportedFile[];
}

export interface ImportedFile {
  readonly file: string;
  readonly text: string;
}

/** Files within files, which would else be read for ever. */
const MAX_IMPORTS = 1000;

/** The server blocks of a Corefile, with snippets and imports in their places. @throws CorefileError */
export function parseCorefile(source: CorefileSource): ServerBlock[] {
  return new Parser(source).blocks();
}

/** As coredns/caddy's `caddyfile/parse.go`. */
class Parser {
  readonly #source: CorefileSource;
  #tokens: Token[];
  readonly #end: { readonly file: string; readonly line: number };
  readonly #snippets = new Map<string, readonly Token[]>();
  #at = 0;
  #imports = 0;

  constructor(source: CorefileSource) {
    this.#source = source;
    this.#tokens = tokenize(source.text, source.file, source.environment);
    this.#end = { file: source.file, line: this.#tokens.at(-1)?.line ?? 1 };
  }

  blocks(): ServerBlock[] {
    const blocks: ServerBlock[] = [];
    while (this.#at < this.#tokens.length) {
      const keys = this.#keys();
      const key = keys[0];
      if (key === undefined) continue;
      const snippet = snippetName(key);
      if (keys.length === 1 && snippet !== undefined) {
        if (this.#snippets.has(snippet)) {
          throw new CorefileError(`the snippet (${snippet}) is there twice`, key);
        }
        this.#snippets.set(snippet, this.#snippet(key));
        continue;
      }
      blocks.push({ keys, directives: this.#directives(key) });
    }
    return blocks;
  }

  get #token(): Token | undefined {
    return this.#tokens[this.#at];
  }

  /** Whether the token at `at` is the first of its line. */
  #startsLine(at: number): boolean {
    return at === 0 || !sameLine(this.#tokens[at - 1] as Token, this.#tokens[at] as Token);
  }

  /** Up to the brace. A comma, or another word on the line, says that one more key follows. */
  #keys(): Token[] {
    const keys: Token[] = [];
    let expecting = false;
    for (;;) {
      const token = this.#token;
      if (token === undefined) {
        if (expecting) throw new CorefileError("expected another key after the comma", this.#end);
        return keys;
      }
      if (token.text === "import" && this.#startsLine(this.#at)) {
        this.#import();
        continue;
      }
      if (token.text === "{") {
        if (keys.length === 0)
          throw new CorefileError("a server block needs a key before '{'", token);
        if (expecting)
          throw new CorefileError("expected another key after the comma, but had '{'", token);
        return keys;
      }
      if (keys.length > 0 && !expecting && this.#startsLine(this.#at)) return keys;
      if (token.text === "}") throw new CorefileError("'}' without a '{' before it", token);
      const text = token.text.endsWith(",") ? token.text.slice(0, -1) : token.text;
      expecting = text !== token.text;
      if (text !== "") keys.push({ ...token, text });
      this.#at++;
    }
  }

  #snippet(key: Token): Token[] {
    if (this.#token?.text !== "{")
      throw new CorefileError(`the snippet ${key.text} needs a '{'`, key);
    const start = ++this.#at;
    for (let depth = 1; ; this.#at++) {
      const token = this.#token;
      if (token === undefined) throw new CorefileError(`the snippet ${key.text} has no '}'`, key);
      if (token.text === "{") depth++;
      if (token.text === "}" && --depth === 0) break;
    }
    return this.#tokens.slice(start, this.#at++);
  }

  #directives(key: Token): Directive[] {
    const braces = this.#token?.text === "{";
    if (braces) this.#at++;
    const directives: Directive[] = [];
    for (;;) {
      const token = this.#token;
      if (token === undefined) {
        if (braces) throw new CorefileError(`the server block "${key.text}" has no '}'`, key);
        return directives;
      }
      if (token.text === "}") {
        if (!braces) throw new CorefileError("'}' without a '{' before it", token);
        this.#at++;
        return directives;
      }
      if (token.text === "import") this.#import();
      else directives.push(this.#directive());
    }
  }

  #directive(): Directive {
    const start = this.#at;
    const name = this.#token as Token;
    if (name.text === "{")
      throw new CorefileError("expected the name of a plugin, but had '{'", name);
    let depth = 0;
    this.#at++;
    for (;;) {
      const token = this.#token;
      if (token === undefined) {
        if (depth > 0) throw new CorefileError(`'${name.text}' has a '{' without its '}'`, name);
        break;
      }
      if (depth === 0 && this.#startsLine(this.#at)) break;
      if (token.text === "import" && depth > 0 && this.#startsLine(this.#at)) {
        this.#import();
        continue;
      }
      if (token.text === "{") depth++;
      else if (token.text === "}" && depth > 0) depth--;
      else if (token.text === "}" && depth === 0) break;
      this.#at++;
    }
    return { name, tokens: this.#tokens.slice(start, this.#at) };
  }

  /** Puts what is imported in the place of the two words `import WHAT`. */
  #import(): void {
    const name = this.#token as Token;
    const what = this.#tokens[this.#at + 1];
    if (what === undefined || !sameLine(name, what)) {
      throw new CorefileError("import needs the name of a snippet or file", name);
    }
    const more = this.#tokens[this.#at + 2];
    if (more !== undefined && sameLine(what, more) && more.text !== "}") {
      throw new CorefileError("import takes only one name of a snippet or file", more);
    }
    if (++this.#imports > MAX_IMPORTS)
      throw new CorefileError("import has no end: it imports itself", name);
    this.#tokens.splice(this.#at, 2, ...this.#imported(what));
  }

  #imported(what: Token): readonly Token[] {
    const snippet = this.#snippets.get(what.text);
    if (snippet !== undefined) return snippet;
    const files = this.#source.importFiles?.(what.text, what.file) ?? [];
    if (files.length === 0 && !what.text.includes("*")) {
      const known = [...this.#snippets.keys()].join(", ") || "none";
      throw new CorefileError(
        `import: "${what.text}" is neither a snippet (known: ${known}) nor a file that can be read`,
        what,
      );
    }
    return files.flatMap(({ file, text }) => tokenize(text, file, this.#source.environment));
  }
}

function snippetName({ text }: Token): string | undefined {
  return text.startsWith("(") && text.endsWith(")") && text.length > 2
    ? text.slice(1, -1)
    : undefined;
}

function sameLine(first: Token, second: Token): boolean {
  const breaks = first.text.split("\n").length - 1;
  return first.file === second.file && first.line + breaks === second.line;
}
