/* What the SDK's own files share. */
#ifndef AIRLOCK_INTERNAL_H
#define AIRLOCK_INTERNAL_H

#include "airlock.h"

extern const airlock_plugin airlock_this_plugin;

/* Runs an operator on a config in JSON text; what does not fit is refused with its member. */
airlock_outcome airlock_run_json(const airlock_operator *operator_, const char *config, const airlock_task *task);
/* JSON Schema of an operator's config. */
char *airlock_schema(const airlock_operator *operator_);
/* A copy of `length` bytes with a zero byte after it. */
char *airlock_copy(const void *bytes, size_t length);
/* malloc that does not fail. */
void *airlock_allocate(size_t size);
/* An error with a text. */
airlock_error airlock_error_of(airlock_error_kind kind, const char *text);

/* XComs as JSON text; `map_index` may be NULL, `json` is NULL where there is nothing. */
airlock_error airlock_sys_xcom_push(const char *key, const char *json);
airlock_error airlock_sys_xcom_pull(const char *task_id, const char *key, const int32_t *map_index, char **json);
/* At most 1 MiB a call. */
airlock_error airlock_sys_write(airlock_writer *writer, const void *bytes, size_t length);

#endif
