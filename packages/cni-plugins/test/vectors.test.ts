import { vectorTests } from "../../../tools/vector-tests.ts";
import { runSuite } from "./vectors/cni-plugins.ts";

await vectorTests("cni-plugins", runSuite);
