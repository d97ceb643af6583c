import { parseDuration } from "../corefile/go-duration.ts";
import { GoPattern } from "../corefile/go-pattern.ts";
import { onlyUse, type PluginSetup } from "../server/plugin.ts";

/** CoreDNS `plugin/errors`: a line for each query that ends in an error. Errors are not consolidated. */
export const setupErrors: PluginSetup = (uses, { options }) => {
  const use = onlyUse(uses);
  const [file, ...more] = use.words;
  if (file !== undefined && file !== "stdout") throw use.error(`invalid log file: ${file}`);
  if (more.length > 0) throw use.error("wrong argument count");
  for (const property of use.properties) {
    if (property.name.text === "consolidate") {
      const [period, pattern] = use.argsOf(property, 2, 4) as [string, string];
      if (parseDuration(period) === undefined || GoPattern.compile(pattern) === undefined) {
        throw use.error("consolidate needs a duration and a pattern", property.name);
      }
    } else if (property.name.text !== "stacktrace") {
      throw use.unknown(property, ["consolidate", "stacktrace"]);
    }
  }
  return (next) => ({
    serve: (request, respond) =>
      next.serve(request, (reply) => {
        if (reply.error !== undefined) {
          const { name, question } = request;
          const { rcode } = reply.message ?? reply;
          options.log?.({
            level: "ERROR",
            text: `plugin/errors: ${NUMBERS[rcode] ?? 0} ${name} ${question.type}: ${reply.error}`,
          });
        }
        respond(reply);
      }),
  });
};

const NUMBERS: Readonly<Record<string, number>> = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
};
