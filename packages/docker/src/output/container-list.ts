import type { Container } from "../container.ts";
import type { DockerHost } from "../docker-host.ts";
import { portsColumn } from "./container-ports.ts";
import { dockerTable, shownId } from "./docker-table.ts";
import { humanDuration } from "./human-duration.ts";
import type { ListOptions } from "./network-list.ts";

/** Characters of a command that are shown. */
const COMMAND_WIDTH = 20;

export interface ContainerListOptions extends ListOptions {
  /** `-a`: also those that do not run. */
  readonly all?: boolean;
}

/** `docker ps`: the newest first. */
export function containerListText(docker: DockerHost, options: ContainerListOptions = {}): string {
  const { all = false, noTrunc = false, quiet = false } = options;
  const { now } = docker.kernel.network.clock;
  const listed = [...docker.containers.values()]
    .filter(({ isRunning }) => all || isRunning)
    .reverse();
  if (quiet) return listed.map(({ id }) => `${shownId(id, noTrunc)}\n`).join("");
  return dockerTable([
    ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"],
    ...listed.map((container) => [
      shownId(container.id, noTrunc),
      container.image,
      commandColumn(container, noTrunc),
      `${humanDuration(now - container.createdAt)} ago`,
      statusColumn(container, now),
      portsColumn(container),
      container.name,
    ]),
  ]);
}

/** In Go's quotes; arguments with blanks are in quotes of their own (daemon/container/view.go). */
function commandColumn({ spec }: Container, noTrunc: boolean): string {
  const [path = "", ...args] = spec.command ?? [];
  const words = [path, ...args.map((arg) => (arg.includes(" ") ? `'${arg}'` : arg))];
  return JSON.stringify(noTrunc ? words.join(" ") : ellipsis(words.join(" "), COMMAND_WIDTH));
}

function ellipsis(text: string, width: number): string {
  const characters = [...text];
  return characters.length <= width ? text : `${characters.slice(0, width - 1).join("")}…`;
}

/** daemon/container/state.go `String`. */
function statusColumn({ state, startedAt, finishedAt }: Container, now: number): string {
  switch (state) {
    case "created":
      return "Created";
    case "running":
      return `Up ${humanDuration(now - (startedAt ?? now))}`;
    case "exited":
      return `Exited (0) ${humanDuration(now - (finishedAt ?? now))} ago`;
  }
}
