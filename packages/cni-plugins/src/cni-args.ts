import { failure } from "./failure.ts";
import { quote } from "./go-text.ts";

/**
 * `CNI_ARGS`, `KEY=value;KEY=value`, as one plugin reads it: what it does not know is an error unless
 * `IgnoreUnknown=1` is among them (containernetworking/cni pkg/types/args.go LoadArgs).
 * @throws CniError
 */
export function readCniArgs<Key extends string>(
  args: string,
  known: readonly Key[],
): Partial<Record<Key, string>> {
  const found: Partial<Record<Key, string>> = {};
  if (args === "") return found;
  const { pairs, ignoreUnknown } = parsePairs(args);
  const isKnown = (key: string): key is Key => (known as readonly string[]).includes(key);
  for (const [key, value] of pairs) if (isKnown(key)) found[key] = value;
  if (ignoreUnknown) return found;
  const unknown = pairs.filter(([key]) => key !== IGNORE_UNKNOWN && !isKnown(key));
  if (unknown.length > 0) {
    const texts = unknown.map(([key, value]) => quote(`${key}=${value}`));
    throw failure(`ARGS: unknown args [${texts.join(" ")}]`);
  }
  return found;
}

const IGNORE_UNKNOWN = "IgnoreUnknown";

interface CniArgs {
  readonly pairs: readonly (readonly [key: string, value: string])[];
  readonly ignoreUnknown: boolean;
}

/** Several plugins read the same text for each container. */
let last: { readonly args: string; readonly parsed: CniArgs } | undefined;

/** @throws CniError */
function parsePairs(args: string): CniArgs {
  if (last?.args === args) return last.parsed;
  let ignoreUnknown = false;
  const pairs = args.split(";").map((pair): readonly [string, string] => {
    const [key, value, more] = pair.split("=");
    if (key === undefined || value === undefined || more !== undefined) {
      throw failure(`ARGS: invalid pair ${quote(pair)}`);
    }
    if (key === IGNORE_UNKNOWN) ignoreUnknown = readBoolean(pair, value);
    return [key, value];
  });
  last = { args, parsed: { pairs, ignoreUnknown } };
  return last.parsed;
}

function readBoolean(pair: string, value: string): boolean {
  const text = value.toLowerCase();
  if (text === "1" || text === "true") return true;
  if (text === "0" || text === "false") return false;
  throw failure(
    `ARGS: error parsing value of pair ${quote(pair)}: boolean unmarshal error: invalid input ${text}`,
  );
}
