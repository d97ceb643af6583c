import { vectorTests } from "../../../tools/vector-tests.ts";
import { runSuite } from "./vectors/policy-netpol-analyzer.ts";

await vectorTests("policy-netpol-analyzer", runSuite);
