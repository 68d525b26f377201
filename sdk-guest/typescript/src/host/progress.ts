export { isCancelled, report } from "airlock:operator/progress@0.1.0";
