import { InputError } from "@cnilab/core";
import type { ResourceRecord } from "../message/message.ts";
import { isDomainName } from "../message/name.ts";
import { absoluteName, parseTtl } from "../message/record-data.ts";
import { parseRecord } from "../message/record-text.ts";

interface Line {
  readonly number: number;
  /** The first is empty where the line begins with a blank. */
  readonly words: readonly string[];
}

/** How deep files may include others. */
const MAX_INCLUDES = 7;

/**
 * The records of a master file (RFC 1035 §5), with `$ORIGIN`, `$TTL`, `$INCLUDE` and parentheses.
 * @param origin of names without a dot at the end, absolute
 * @throws InputError with file and line
 */
export function parseZoneFile(
  text: string,
  origin: string,
  file: string,
  readFile: (path: string) => string | undefined = () => undefined,
  depth = 0,
): ResourceRecord[] {
  const records: ResourceRecord[] = [];
  let currentOrigin = origin;
  let owner: string | undefined;
  let defaultTtl: number | undefined;
  let lastTtl: number | undefined;
  for (const { number, words } of lines(text, file)) {
    const wrong = (problem: string): InputError => new InputError(problem, `${file}:${number}`);
    const [first = "", argument, second] = words;
    switch (first.toUpperCase()) {
      case "$ORIGIN": {
        const name = absoluteName(argument ?? "", currentOrigin);
        if (argument === undefined || !isDomainName(name)) throw wrong("$ORIGIN needs a name");
        currentOrigin = name;
        continue;
      }
      case "$TTL":
        defaultTtl = parseTtl(argument ?? "");
        if (defaultTtl === undefined) throw wrong("$TTL needs a number of seconds");
        continue;
      case "$INCLUDE": {
        const path = argument?.replace(/^"(.*)"$/, "$1");
        const included = path === undefined ? undefined : readFile(path);
        if (path === undefined || included === undefined) {
          throw wrong(`$INCLUDE: ${path ?? "a file"} cannot be read`);
        }
        if (depth >= MAX_INCLUDES) throw wrong("$INCLUDE: files include each other too deeply");
        const name = second === undefined ? currentOrigin : absoluteName(second, currentOrigin);
        records.push(...parseZoneFile(included, name, path, readFile, depth + 1));
        continue;
      }
      case "$GENERATE":
        throw wrong("$GENERATE is not understood; write the records out");
    }
    const record = parseRecord(words, {
      origin: currentOrigin,
      owner,
      ttl: defaultTtl ?? lastTtl,
    });
    if ("problem" in record) throw wrong(record.problem);
    owner = record.name;
    lastTtl = record.ttl;
    records.push(record);
  }
  return records;
}

/** Lines taken apart into words; what stands in parentheses is one line. */
function lines(text: string, file: string): Line[] {
  const out: Line[] = [];
  let words: string[] = [];
  let number = 1;
  let first = 1;
  let open = 0;
  const end = (): void => {
    if (words.some((word) => word !== "")) out.push({ number: first, words });
    words = [];
  };
  for (let i = 0; i < text.length; i++) {
    const char = text[i] as string;
    if (words.length === 0) first = number;
    if (char === "\n") {
      number++;
      if (open === 0) end();
    } else if (char === ";") {
      while (i + 1 < text.length && text[i + 1] !== "\n") i++;
    } else if (char === "(" || char === ")") {
      open += char === "(" ? 1 : -1;
      if (open < 0) throw new InputError("a ')' without a '(' before it", `${file}:${number}`);
    } else if (/\s/.test(char)) {
      // A blank at the start of a line stands for the name of the record before.
      const starts = i === 0 || text[i - 1] === "\n";
      if (starts && open === 0 && words.length === 0) words.push("");
    } else {
      const start = i;
      if (char === '"') {
        for (i++; i < text.length && text[i] !== '"'; i++) {
          if (text[i] === "\\") i++;
          else if (text[i] === "\n") break;
        }
        if (text[i] !== '"') throw new InputError("a string has no end", `${file}:${number}`);
        words.push(text.slice(start, i + 1));
      } else {
        while (i < text.length && !/[\s;()"]/.test(text[i] as string))
          i += text[i] === "\\" ? 2 : 1;
        words.push(text.slice(start, i));
        i--;
      }
    }
  }
  if (open > 0) throw new InputError("a '(' has no ')'", `${file}:${number}`);
  end();
  return out;
}
