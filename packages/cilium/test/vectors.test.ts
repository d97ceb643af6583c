import { vectorTests } from "../../../tools/vector-tests.ts";
import { runSuite } from "./vectors/cilium.ts";

await vectorTests("cilium", runSuite);
