import { httpReport, type NameOf } from "@cnilab/inspect";
import { HttpFailure, type Trace } from "@cnilab/linux";
import type { Command } from "commander";
import { request } from "../../docker/docker-connect.ts";
import { type DockerSource, readSource } from "../../docker/docker-endpoint.ts";
import {
  addDockerFlags,
  bringUpDocker,
  type DockerFlags,
  mergedFlags,
} from "../../docker/docker-flags.ts";
import type { DockerWorld } from "../../docker/docker-world.ts";
import { type CurlRequest, readRequest } from "../../http-request.ts";
import type { ProgramIo } from "../../program-io.ts";
import { type Answer, type AskFlags, addAskFlags, answerTo } from "../curl.ts";

type CurlFlags = DockerFlags & AskFlags;

export function addDockerCurlCommand(docker: Command, io: ProgramIo): void {
  const command = docker
    .command("curl")
    .description("ask a URL: name, connection, who answered and whom it saw")
    .argument("<src>", "who asks: a service, a container, host, lan, internet")
    .argument("<url>", "http:// or https://; http where neither is given");
  addDockerFlags(addAskFlags(command)).action((src: string, url: string, own: CurlFlags) =>
    dockerCurl(io, src, url, mergedFlags(command, own)),
  );
}

/** @throws InputError */
export async function dockerCurl(
  io: ProgramIo,
  src: string,
  url: string,
  flags: CurlFlags,
): Promise<void> {
  const first = readRequest(url, flags);
  const world = await bringUpDocker(io, flags);
  const source = readSource(world, src);
  world.forgetConnections();
  const nameOf = (ip: string) => world.nameOf(ip);
  const insecure = flags.insecure === true;
  answerTo(io, src, first, flags, {
    ask: (asked, walk) => ask(world, source, asked, { insecure, walk, nameOf }),
    nameOf,
    warn: () => {},
  });
}

function ask(
  world: DockerWorld,
  source: DockerSource,
  asked: CurlRequest,
  { insecure, walk, nameOf }: { insecure: boolean; walk: Trace; nameOf: NameOf },
): Answer {
  const connection = request(world, source, asked, { insecure, trace: walk });
  const result = connection.outcome?.result;
  const report = httpReport(result, walk, nameOf, ({ owner }) => owner);
  const failed = result instanceof HttpFailure ? result.message : undefined;
  const problem = connection.failure?.reason ?? failed;
  return { request: asked, connection, report, problem };
}
