import { vectorTests } from "../../../tools/vector-tests.ts";
import { runShortSuite } from "./vectors/policy.ts";
import { runSuite as runNetpolAnalyzer } from "./vectors/policy-netpol-analyzer.ts";

await vectorTests("policy", runShortSuite);
await vectorTests("policy-netpol-analyzer", runNetpolAnalyzer);
