//! What clients delete: runs and DAGs. Both are gone for good, so only an admin may; the audit trail keeps who did it.

use super::dag_runs::PATH;
use super::{About, ApiError, Call, Reply, Route};
use crate::app::Role::Admin;

pub(super) const ROUTES: &[Route] = &[
    Route::airflow(
        "DELETE",
        PATH,
        Admin,
        delete_run,
        About::new("Delete a run that has ended, with its XComs and logs").answers_nothing(),
    ),
    Route::airflow(
        "DELETE",
        "/api/v2/dags/{dag_id}",
        Admin,
        delete_dag,
        About::new("Delete a DAG that no file of the service holds, with its runs")
            .answers_nothing(),
    ),
];

fn delete_run(call: &Call<'_>) -> Result<Reply, ApiError> {
    let (dag_id, run_id) = (call.dag_id()?, call.run_id()?);
    call.app.run(&dag_id, &run_id)?;
    call.audited("delete_dag_run", &format!("{dag_id}/{run_id}"), || {
        Ok(call.app.delete_run(&dag_id, &run_id)?)
    })?;
    Ok(Reply::nothing())
}

fn delete_dag(call: &Call<'_>) -> Result<Reply, ApiError> {
    let dag_id = call.dag_id()?;
    call.app.dag(dag_id.as_str())?;
    call.audited("delete_dag", dag_id.as_str(), || {
        Ok(call.app.delete_dag(dag_id.as_str())?)
    })?;
    Ok(Reply::nothing())
}
