//! Where things are: the address of every page. Ids hold no character that an address gives a meaning to; free names go into the
//! query, encoded, and never into a path.

use airlock_core::ids::{DagId, RunId};
use url::form_urlencoded::Serializer;

/// A path with a query; pairs with an empty value are left out.
pub(super) fn query(path: &str, pairs: &[(&str, &str)]) -> String {
    let mut query = Serializer::new(String::new());
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        query.append_pair(name, value);
    }
    let query = query.finish();
    if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{query}")
    }
}

/// A DAG.
pub(super) fn dag(dag_id: &DagId) -> String {
    format!("/dags/{dag_id}")
}

/// A view of a DAG.
pub(super) fn dag_view(dag_id: &DagId, view: &str) -> String {
    format!("/dags/{dag_id}/{view}")
}

/// A run.
pub(super) fn run(dag_id: &DagId, run_id: &RunId) -> String {
    format!("/dags/{dag_id}/runs/{run_id}")
}

/// A task instance.
pub(super) fn task_instance(
    dag_id: &DagId,
    run_id: &RunId,
    task_id: &str,
    map_index: i32,
) -> String {
    let path = format!("/dags/{dag_id}/runs/{run_id}/tasks/{task_id}");
    if map_index < 0 {
        path
    } else {
        format!("{path}?map_index={map_index}")
    }
}

/// A registered model.
pub(super) fn model(name: &str) -> String {
    query("/model", &[("name", name)])
}

/// An experiment.
pub(super) fn experiment(id: &str) -> String {
    query("/experiment", &[("id", id)])
}

/// A tracking run.
pub(super) fn tracking_run(id: &str) -> String {
    query("/tracking-run", &[("id", id)])
}

/// A plugin.
pub(super) fn plugin(name: &str) -> String {
    query("/plugin", &[("name", name)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_names_are_encoded() {
        assert_eq!(model("a&b=c/../d"), "/model?name=a%26b%3Dc%2F..%2Fd");
        assert_eq!(
            query("/dags", &[("q", ""), ("tag", "x y")]),
            "/dags?tag=x+y"
        );
    }
}
