export { pull, push } from "airlock:operator/xcom@0.1.0";
