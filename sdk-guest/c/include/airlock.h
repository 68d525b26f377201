/* Airlock operators in C: a typed config in, an outcome out, the host's interfaces as functions.
 *
 * Memory: an attempt's instance is dropped at its end, so nothing that comes from here has to be freed. What a function yields stays
 * valid for the whole attempt, except where it says otherwise. Texts are UTF-8 and end in a zero byte.
 */
#ifndef AIRLOCK_H
#define AIRLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cJSON.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- How an operator ends ---- */

typedef enum airlock_end {
    AIRLOCK_SUCCESS,
    AIRLOCK_SKIP,
    AIRLOCK_BRANCH,
    AIRLOCK_SHORT_CIRCUIT,
    AIRLOCK_NOT_YET,
    AIRLOCK_DEFER,
    AIRLOCK_TRANSIENT,
    AIRLOCK_PERMANENT,
    AIRLOCK_INVALID_INPUT
} airlock_end;

/* Made by the functions below. */
typedef struct airlock_outcome {
    airlock_end end;
    const char *text;          /* JSON of a success (or NULL), reason, message or instant. */
    const char *field;         /* The config member of AIRLOCK_INVALID_INPUT. */
    const char *const *ids;    /* Task ids of AIRLOCK_BRANCH. */
    size_t id_count;
    bool ignore_downstream_trigger_rules;
} airlock_outcome;

#if defined(__GNUC__) || defined(__clang__)
#define AIRLOCK_FORMAT(text, first) __attribute__((format(printf, text, first)))
#else
#define AIRLOCK_FORMAT(text, first)
#endif

/* Its value becomes the XCom `return_value`; NULL pushes nothing. */
airlock_outcome airlock_success(const cJSON *value);
/* The same with a text, as printf makes it. */
airlock_outcome airlock_success_text(const char *format, ...) AIRLOCK_FORMAT(1, 2);
/* The same with a number. */
airlock_outcome airlock_success_number(double value);
/* The task instance becomes `skipped`, for this reason. */
airlock_outcome airlock_skip(const char *format, ...) AIRLOCK_FORMAT(1, 2);
/* Only these of its direct downstream tasks go on. */
airlock_outcome airlock_branch(const char *const *task_ids, size_t count);
/* The condition does not hold: downstream is skipped; all of it, whatever its trigger rules, where the flag is set. */
airlock_outcome airlock_short_circuit(bool ignore_downstream_trigger_rules);
/* A sensor whose condition does not hold yet. */
airlock_outcome airlock_not_yet(void);
/* Call again at this time, for example "2026-01-05T02:00:00Z". */
airlock_outcome airlock_defer(const char *until);
/* Fails; may work later: retried. */
airlock_outcome airlock_transient(const char *format, ...) AIRLOCK_FORMAT(1, 2);
/* Fails; will not work: never retried. */
airlock_outcome airlock_permanent(const char *format, ...) AIRLOCK_FORMAT(1, 2);
/* Fails; this config member cannot be used: never retried. */
airlock_outcome airlock_invalid(const char *field, const char *format, ...) AIRLOCK_FORMAT(2, 3);

/* ---- What a host call answers ---- */

typedef enum airlock_error_kind {
    AIRLOCK_OK,
    AIRLOCK_DENIED,      /* No grant covers it; the text names the grant that would. */
    AIRLOCK_NOT_FOUND,
    AIRLOCK_INVALID,     /* The request makes no sense. */
    AIRLOCK_TOO_LARGE,   /* Over a named limit, which is in the text. */
    AIRLOCK_CONFLICT,    /* It exists already, or somebody else changed it first. */
    AIRLOCK_UNAVAILABLE  /* It may work later. */
} airlock_error_kind;

typedef struct airlock_error {
    airlock_error_kind kind;
    const char *text;
} airlock_error;

/* The outcome that an error means: `unavailable` is transient, the rest is permanent. */
airlock_outcome airlock_fail(airlock_error error);

/* Leaves an operator with what the error means. */
#define AIRLOCK_TRY(call)                                   \
    do {                                                    \
        airlock_error airlock_error_ = (call);              \
        if (airlock_error_.kind != AIRLOCK_OK)              \
            return airlock_fail(airlock_error_);            \
    } while (0)

/* ---- The attempt ---- */

typedef struct airlock_task {
    const char *dag_id;
    const char *run_id;
    const char *run_type;            /* scheduled, manual, backfill or asset_triggered */
    const char *task_id;
    int32_t map_index;               /* -1 when the task is not mapped. */
    uint32_t try_number;             /* From 1. */
    uint32_t max_tries;              /* The last try. */
    uint32_t poke_number;            /* Counts the pokes of a sensor, from 1. */
    const char *logical_date;        /* RFC 3339 in UTC; NULL in a run that belongs to no date. */
    const char *data_interval_start; /* The same. */
    const char *data_interval_end;   /* The same. */
    const cJSON *params;             /* The run's params: an object. */
    const cJSON *inputs;             /* XComs that the task asked for, by name: an object. */
} airlock_task;

/* ---- Operators ---- */

typedef enum airlock_kind { AIRLOCK_KIND_TEXT, AIRLOCK_KIND_INTEGER, AIRLOCK_KIND_NUMBER, AIRLOCK_KIND_BOOLEAN, AIRLOCK_KIND_JSON } airlock_kind;

/* One member of a config, and where it goes in the config's struct. Made by the macros below. */
typedef struct airlock_field {
    const char *name;
    const char *description;
    airlock_kind kind;
    size_t offset;
    bool required;
    const char *default_json; /* Of a member that may be left out. */
} airlock_field;

/* `const char *`, `int64_t`, `double`, `bool` and `const cJSON *` members, that a config must have. */
#define AIRLOCK_TEXT(type, member, description) {#member, description, AIRLOCK_KIND_TEXT, offsetof(type, member), true, NULL}
#define AIRLOCK_INTEGER(type, member, description) {#member, description, AIRLOCK_KIND_INTEGER, offsetof(type, member), true, NULL}
#define AIRLOCK_NUMBER(type, member, description) {#member, description, AIRLOCK_KIND_NUMBER, offsetof(type, member), true, NULL}
#define AIRLOCK_BOOLEAN(type, member, description) {#member, description, AIRLOCK_KIND_BOOLEAN, offsetof(type, member), true, NULL}
#define AIRLOCK_JSON(type, member, description) {#member, description, AIRLOCK_KIND_JSON, offsetof(type, member), true, NULL}
/* The same with a default, written as JSON: "\"Ada\"", "10", "0.5", "true". */
#define AIRLOCK_TEXT_OR(type, member, json, description) {#member, description, AIRLOCK_KIND_TEXT, offsetof(type, member), false, json}
#define AIRLOCK_INTEGER_OR(type, member, json, description) {#member, description, AIRLOCK_KIND_INTEGER, offsetof(type, member), false, json}
#define AIRLOCK_NUMBER_OR(type, member, json, description) {#member, description, AIRLOCK_KIND_NUMBER, offsetof(type, member), false, json}
#define AIRLOCK_BOOLEAN_OR(type, member, json, description) {#member, description, AIRLOCK_KIND_BOOLEAN, offsetof(type, member), false, json}
#define AIRLOCK_JSON_OR(type, member, json, description) {#member, description, AIRLOCK_KIND_JSON, offsetof(type, member), false, json}

typedef struct airlock_operator {
    const char *name;
    const char *summary;
    bool is_sensor;
    const airlock_field *fields;
    size_t field_count;
    size_t config_size;
    airlock_outcome (*run)(const void *config, const airlock_task *task);
} airlock_operator;

typedef struct airlock_plugin {
    const char *name;
    const char *version;
    const airlock_operator *const *operators;
    size_t operator_count;
} airlock_plugin;

/* Makes the operator `function` of `airlock_outcome function(const config_type *config, const airlock_task *task)`.
 * `fields` is an array of `airlock_field`. */
#define AIRLOCK_OPERATOR(function, config_type, fields, summary) AIRLOCK_MAKE_(function, config_type, fields, summary, false)
/* The same for one that may answer `airlock_not_yet()`. */
#define AIRLOCK_SENSOR(function, config_type, fields, summary) AIRLOCK_MAKE_(function, config_type, fields, summary, true)

#define AIRLOCK_MAKE_(function, config_type, fields, summary, is_sensor)                                       \
    static airlock_outcome function##_run_(const void *config, const airlock_task *task) {                      \
        return function((const config_type *)config, task);                                                    \
    }                                                                                                          \
    const airlock_operator function##_operator = {#function, summary, is_sensor, fields,                        \
                                                  sizeof(fields) / sizeof((fields)[0]), sizeof(config_type),   \
                                                  function##_run_};

/* Says, once in a plugin, what it is: AIRLOCK_PLUGIN("name", "1.0.0", &hello_operator). */
#define AIRLOCK_PLUGIN(name, version, ...)                                                                \
    static const airlock_operator *const airlock_operators_[] = {__VA_ARGS__};                            \
    const airlock_plugin airlock_this_plugin = {name, version, airlock_operators_,                        \
                                                sizeof(airlock_operators_) / sizeof(airlock_operators_[0])};

/* ---- The host's interfaces ---- */

typedef enum airlock_level { AIRLOCK_DEBUG, AIRLOCK_INFO, AIRLOCK_WARN, AIRLOCK_ERROR } airlock_level;

/* One line for the task's log. */
void airlock_log(airlock_level level, const char *message);
void airlock_debug(const char *format, ...) AIRLOCK_FORMAT(1, 2);
void airlock_info(const char *format, ...) AIRLOCK_FORMAT(1, 2);
void airlock_warn(const char *format, ...) AIRLOCK_FORMAT(1, 2);

/* `fraction`, 0.0 to 1.0, of the work is done; a negative one says that nobody knows how much there is. */
void airlock_progress(double fraction, const char *message);
/* Whether the attempt was told to stop; it has its grace period left to save what it has. */
bool airlock_is_cancelled(void);

/* Upserts; durable and visible to others when it returns. At most 48 KiB of JSON. */
airlock_error airlock_xcom_push(const char *key, const cJSON *value);
/* What a task pushed in this run, or NULL; of a mapped task, the list of all its values. */
airlock_error airlock_xcom_pull(const char *task_id, const char *key, cJSON **value);
/* What one instance of a mapped task pushed, or NULL. */
airlock_error airlock_xcom_pull_mapped(const char *task_id, const char *key, int32_t map_index, cJSON **value);

typedef struct airlock_reader airlock_reader;
typedef struct airlock_writer airlock_writer;
typedef struct airlock_object {
    const char *uri;
    uint64_t size; /* Bytes. */
} airlock_object;

/* Opens the object at `uri`: file://, s3://, gs:// or az://. */
airlock_error airlock_storage_open(const char *uri, airlock_reader **reader);
/* The next bytes: at most `size`, and 1 MiB; 0 at the end. */
airlock_error airlock_storage_read(airlock_reader *reader, void *bytes, size_t size, size_t *length);
void airlock_storage_close(airlock_reader *reader);
/* The whole object with a zero byte after it, which `length` does not count; `length` may be NULL. */
airlock_error airlock_storage_read_all(const char *uri, char **bytes, size_t *length);
/* Begins an object that replaces what is at `uri` when it is finished. */
airlock_error airlock_storage_create(const char *uri, airlock_writer **writer);
/* Any number of bytes. */
airlock_error airlock_storage_write(airlock_writer *writer, const void *bytes, size_t length);
/* Makes the whole object visible, durably, and yields its SHA-256 in hex; `sha256` may be NULL. */
airlock_error airlock_storage_finish(airlock_writer *writer, const char **sha256);
/* `exists` is false where there is nothing. */
airlock_error airlock_storage_head(const char *uri, bool *exists, airlock_object *object);
/* In order of URI, at most 1,000; `after` is the last one that is known, or NULL. */
airlock_error airlock_storage_list(const char *prefix, const char *after, airlock_object **objects, size_t *count);
airlock_error airlock_storage_delete(const char *uri);

typedef enum airlock_run_status { AIRLOCK_RUN_RUNNING, AIRLOCK_RUN_FINISHED, AIRLOCK_RUN_FAILED, AIRLOCK_RUN_KILLED } airlock_run_status;

/* Finds or makes the tracking run called `name` in `experiment`. */
airlock_error airlock_tracking_start_run(const char *experiment, const char *name, const char **run_id);
/* A param is set once: another value for the same key is a conflict. */
airlock_error airlock_tracking_log_param(const char *run_id, const char *key, const char *value);
airlock_error airlock_tracking_log_metric(const char *run_id, const char *key, double value, int64_t step);
airlock_error airlock_tracking_set_tag(const char *run_id, const char *key, const char *value);
/* Names an artifact, given by its SHA-256. */
airlock_error airlock_tracking_log_artifact(const char *run_id, const char *path, const char *sha256);
airlock_error airlock_tracking_end_run(const char *run_id, airlock_run_status status);

typedef struct airlock_header {
    const char *name;
    const char *value;
} airlock_header;

/* Zero is a default: no header, no body, 60 s. */
typedef struct airlock_request {
    const char *method; /* NULL is GET. */
    const char *url;    /* Absolute, http or https, at most 8 KiB. */
    const airlock_header *headers;
    size_t header_count;
    const void *body; /* At most 8 MiB. */
    size_t body_length;
    uint32_t timeout_ms; /* From resolving the name to the last byte, 600,000 at most. */
} airlock_request;

typedef struct airlock_response {
    uint16_t status;
    const airlock_header *headers; /* In order. */
    size_t header_count;
    const char *body; /* With a zero byte after it, which `body_length` does not count. */
    size_t body_length;
} airlock_response;

/* One exchange with a host that the grant `http` names; a redirect is an answer like any other. A secret's placeholder in URL, header
 * or body is filled in by the host. */
airlock_error airlock_http_send(const airlock_request *request, airlock_response *response);
/* The first header of this name, whatever its case, or NULL. */
const char *airlock_http_header(const airlock_response *response, const char *name);

/* Other interfaces of the host (dataset, training, models, secrets, ...) are in `generated/operator.h`, as wit-bindgen makes them. */

#ifdef __cplusplus
}
#endif
#endif
