import { Loader } from "../loader/loader.ts";
import type { AgentPartFactory } from "./agent-part.ts";
import { NodeRoutes } from "./node-routes.ts";

/** The parts of an agent in the order of their start. Each thing that brings one adds a line. */
export const AGENT_PARTS: readonly AgentPartFactory[] = [
  // What a program is compiled with is known before:
  // agent/identity: an endpoint's identity
  // agent/policy: its policy map
  (agent) => new Loader(agent),
  (agent) => new NodeRoutes(agent),
  // agent/services
];
