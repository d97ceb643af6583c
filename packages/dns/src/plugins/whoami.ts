import { familyOf, formatIp } from "@cnilab/net";
import type { ResourceRecord } from "../message/message.ts";
import type { PluginSetup } from "../server/plugin.ts";
import { answerWith } from "../server/request.ts";

/** CoreDNS `plugin/whoami`: says to whoever asks from where the question came. */
export const setupWhoami: PluginSetup = () => () => ({
  serve: (request, respond) => {
    const { question, client } = request;
    const type = familyOf(client.address) === 4 ? "A" : "AAAA";
    const srvName = `_${client.protocol}.${question.name === "." ? "" : question.name}`;
    const additional: ResourceRecord[] = [
      { name: question.name, ttl: 0, type, data: formatIp(client.address) },
      { name: srvName, ttl: 0, type: "SRV", data: `0 0 ${client.port} .` },
    ];
    respond(answerWith(request, [], [], additional));
  },
});
