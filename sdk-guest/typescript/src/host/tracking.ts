export { endRun, logArtifact, logMetrics, logParams, setTags, startRun } from "airlock:operator/tracking@0.1.0";
