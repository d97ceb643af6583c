import type { DockerHost } from "../docker-host.ts";
import { dockerTable, shownId } from "./docker-table.ts";
import { byNaturalOrder } from "./natural-less.ts";

export interface ListOptions {
  readonly noTrunc?: boolean;
  /** `-q`: ids alone. */
  readonly quiet?: boolean;
}

interface ListedNetwork {
  readonly id: string;
  readonly name: string;
  readonly driver: string;
}

/** `docker network ls`. */
export function networkListText(docker: DockerHost, options: ListOptions = {}): string {
  const listed = networks(docker).map((each) => ({
    ...each,
    id: shownId(each.id, options.noTrunc),
  }));
  if (options.quiet === true) return listed.map(({ id }) => `${id}\n`).join("");
  return dockerTable([
    ["NETWORK ID", "NAME", "DRIVER", "SCOPE"],
    ...listed.map(({ id, name, driver }) => [id, name, driver, "local"]),
  ]);
}

function networks({ networks: bridges, specialNetworkIds }: DockerHost): readonly ListedNetwork[] {
  const all: ListedNetwork[] = [
    { id: specialNetworkIds.none, name: "none", driver: "null" },
    { id: specialNetworkIds.host, name: "host", driver: "host" },
    ...[...bridges.values()].map(({ id, name }) => ({ id, name, driver: "bridge" })),
  ];
  return all.sort((x, y) => byNaturalOrder(x.name, y.name));
}
