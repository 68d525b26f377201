//! Templates: Jinja as Airflow uses it, over values that were handed in.
