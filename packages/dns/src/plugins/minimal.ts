import { onlyUse, type PluginSetup } from "../server/plugin.ts";

/** CoreDNS `plugin/minimal`: leaves out authority and additional records of answers that have an answer. */
export const setupMinimal: PluginSetup = (uses) => {
  const use = onlyUse(uses);
  if (use.args.length > 0 || use.properties.length > 0) throw use.error("it takes no arguments");
  return (next) => ({
    serve: (request, respond) =>
      next.serve(request, (reply) => {
        const { message } = reply;
        if (message?.rcode !== "NOERROR" || message.answer.length === 0) return respond(reply);
        respond({ ...reply, message: { ...message, authority: [], additional: [] } });
      }),
  });
};
