export { send } from "airlock:operator/http@0.1.0";
