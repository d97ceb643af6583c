import { vectorTests } from "../../../tools/vector-tests.ts";
import { runSuite as runPolicy } from "./vectors/policy.ts";
import { runSuite as runNetpolAnalyzer } from "./vectors/policy-netpol-analyzer.ts";

await vectorTests("policy", runPolicy);
await vectorTests("policy-netpol-analyzer", runNetpolAnalyzer);
