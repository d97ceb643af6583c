import { vectorTests } from "../../../tools/vector-tests.ts";
import { runSuite } from "./vectors/weave-ipam.ts";

await vectorTests("weave-ipam", runSuite);
