import type { Connection } from "@cnilab/cluster";

/** Who answered a connection, and whom it saw. */
type Answered = Pick<Connection, "backend" | "seenAs">;

/** As fields of JSON, those that there are. */
export function answeredBy({ backend, seenAs }: Answered): Answered {
  return {
    ...(backend === undefined ? {} : { backend }),
    ...(seenAs === undefined ? {} : { seenAs }),
  };
}

/** What came of a connection, for people. */
export function verdictText({
  verdict,
  reason,
  backend,
  seenAs,
}: Answered & { readonly verdict: string; readonly reason: string }): string {
  // A ping has no server that could see anybody.
  const saw = seenAs === undefined ? "" : `, which saw ${seenAs}`;
  const by = backend === undefined ? "" : `\nanswered by ${backend}${saw}`;
  return `${verdict}: ${reason}${by}`;
}
