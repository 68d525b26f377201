export { log } from "airlock:operator/log@0.1.0";
