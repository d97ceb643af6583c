import { InputError, type LabelSelector, parseLabelSelector } from "@cnilab/core";

/** A selector as kubectl's `-l` takes it: `a=b,c!=d,e in (f,g),h,!i`. @throws InputError */
export function readLabelSelector(text: string): LabelSelector {
  const selector = parseLabelSelector(text);
  if (selector !== undefined) return selector;
  throw new InputError(
    `"${text}" is no label selector; write it as app=web,tier!=db or env in (a,b)`,
    "-l",
  );
}
