export { create, delete as del, head, list, open } from "airlock:operator/storage@0.1.0";
