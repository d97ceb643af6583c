import { vectorTests } from "../../../tools/vector-tests.ts";
import { runSuite } from "./vectors/policy.ts";

await vectorTests("policy", runSuite);
