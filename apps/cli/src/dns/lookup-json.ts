import type { NameLookup } from "@cnilab/cluster";
import { formatIp } from "@cnilab/net";

/** How a name was resolved, as data: each question with its answer, and what came of them. */
export function lookupJson({ steps, addresses, canonicalName, error }: NameLookup): object {
  return {
    steps: steps.map(({ server, answer, ...step }) => ({
      ...step,
      server: formatIp(server),
      ...(answer === undefined ? {} : { answer: answer.answer }),
    })),
    addresses: addresses.map(formatIp),
    ...(canonicalName === undefined ? {} : { canonicalName }),
    ...(error === undefined ? {} : { error }),
  };
}
