/// <reference types="node" />
import { fileURLToPath } from "node:url";
import { vectorTests } from "../../../tools/vector-tests.ts";
import { runSuite } from "./vectors/cni-plugins.ts";

await vectorTests("cni-plugins", runSuite);

const recorded = fileURLToPath(new URL("fixtures/recorded", import.meta.url));
await vectorTests("cni-plugins, recorded by us", runSuite, recorded);
