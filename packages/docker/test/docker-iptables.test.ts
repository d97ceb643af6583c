import { vectorTests } from "../../../tools/vector-tests.ts";
import { runSuite } from "./vectors/docker-iptables.ts";

await vectorTests("docker-iptables", runSuite);
