/* The SDK in a component: exports and imports of the contract, through what wit-bindgen generated. */

#include "internal.h"

#include <stdlib.h>
#include <string.h>

#include "operator.h"

typedef operator_string_t wit_string;

static wit_string borrowed(const char *text) {
    wit_string string = {(uint8_t *)text, text ? strlen(text) : 0};
    return string;
}

/* The host frees what a function returns, so it gets a copy. */
static wit_string owned(const char *text) { return borrowed(airlock_copy(text, strlen(text))); }

static char *text_of(const wit_string *string) { return airlock_copy(string->ptr, string->len); }

static char *number_text(uint64_t number) {
    char digits[24];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + number % 10);
    while (number /= 10);
    return airlock_copy(digits + at, sizeof digits - at);
}

static airlock_error error_of(const airlock_operator_types_capability_error_t *error) {
    airlock_error_kind kind = (airlock_error_kind)(error->tag + 1);
    if (error->tag == AIRLOCK_OPERATOR_TYPES_CAPABILITY_ERROR_TOO_LARGE)
        return airlock_error_of(kind, number_text(error->val.too_large));
    return airlock_error_of(kind, text_of(&error->val.denied));
}

/* What wit-bindgen has its object file with the contract linked by; `airlock plugins build` puts the contract in. */
void __component_type_object_force_link_operator(void) {}

static const airlock_error ok = {AIRLOCK_OK, NULL};

#define CALL(call)                                        \
    do {                                                  \
        airlock_operator_types_capability_error_t error_; \
        if (!(call))                                      \
            return error_of(&error_);                     \
    } while (0)

/* ---- Exports ---- */

void exports_airlock_operator_guest_describe(exports_airlock_operator_guest_plugin_info_t *ret) {
    size_t count = airlock_this_plugin.operator_count;
    airlock_operator_types_operator_info_t *infos = airlock_allocate(count * sizeof *infos);
    for (size_t i = 0; i < count; i++) {
        const airlock_operator *operator_ = airlock_this_plugin.operators[i];
        infos[i].name = owned(operator_->name);
        infos[i].summary = owned(operator_->summary);
        infos[i].kind = operator_->is_sensor ? AIRLOCK_OPERATOR_TYPES_OPERATOR_KIND_SENSOR : AIRLOCK_OPERATOR_TYPES_OPERATOR_KIND_OPERATOR;
        infos[i].config_schema = owned(airlock_schema(operator_));
    }
    ret->name = owned(airlock_this_plugin.name);
    ret->version = owned(airlock_this_plugin.version);
    ret->operators.ptr = infos;
    ret->operators.len = count;
    ret->dags.ptr = NULL;
    ret->dags.len = 0;
}

static const char *instant(const airlock_operator_types_option_datetime_t *instant) { return instant->is_some ? text_of(&instant->val) : NULL; }

static void task_of(const airlock_operator_types_task_context_t *context, airlock_task *task) {
    cJSON *inputs = cJSON_CreateObject();
    for (size_t i = 0; i < context->inputs.len; i++)
        cJSON_AddItemToObject(inputs, text_of(&context->inputs.ptr[i].name), cJSON_Parse(text_of(&context->inputs.ptr[i].value)));
    task->dag_id = text_of(&context->dag_id);
    task->run_id = text_of(&context->run_id);
    task->run_type = text_of(&context->run_type);
    task->task_id = text_of(&context->task_id);
    task->map_index = context->map_index;
    task->try_number = context->try_number;
    task->max_tries = context->max_tries;
    task->poke_number = context->poke_number;
    task->logical_date = instant(&context->logical_date);
    task->data_interval_start = instant(&context->data_interval_start);
    task->data_interval_end = instant(&context->data_interval_end);
    task->params = cJSON_Parse(text_of(&context->params));
    task->inputs = inputs;
}

static airlock_outcome run(const airlock_operator_types_task_context_t *context) {
    char *name = text_of(&context->operator_);
    for (size_t i = 0; i < airlock_this_plugin.operator_count; i++) {
        const airlock_operator *operator_ = airlock_this_plugin.operators[i];
        if (strcmp(operator_->name, name))
            continue;
        airlock_task task;
        task_of(context, &task);
        return airlock_run_json(operator_, text_of(&context->config), &task);
    }
    return airlock_permanent("no operator `%s` in this plugin", name);
}

static bool failed(const airlock_outcome *outcome, exports_airlock_operator_guest_task_error_t *err) {
    switch (outcome->end) {
    case AIRLOCK_TRANSIENT:
        err->tag = AIRLOCK_OPERATOR_TYPES_TASK_ERROR_TRANSIENT;
        err->val.transient = owned(outcome->text);
        return true;
    case AIRLOCK_PERMANENT:
        err->tag = AIRLOCK_OPERATOR_TYPES_TASK_ERROR_PERMANENT;
        err->val.permanent = owned(outcome->text);
        return true;
    case AIRLOCK_INVALID_INPUT:
        err->tag = AIRLOCK_OPERATOR_TYPES_TASK_ERROR_INVALID_INPUT;
        err->val.invalid_input.field = owned(outcome->field);
        err->val.invalid_input.message = owned(outcome->text);
        return true;
    default:
        return false;
    }
}

bool exports_airlock_operator_guest_run(exports_airlock_operator_guest_task_context_t *context, exports_airlock_operator_guest_outcome_t *ret,
                                        exports_airlock_operator_guest_task_error_t *err) {
    airlock_outcome outcome = run(context);
    if (failed(&outcome, err))
        return false;
    switch (outcome.end) {
    case AIRLOCK_SKIP:
        ret->tag = AIRLOCK_OPERATOR_TYPES_OUTCOME_SKIP;
        ret->val.skip = owned(outcome.text);
        break;
    case AIRLOCK_BRANCH: {
        wit_string *ids = airlock_allocate(outcome.id_count * sizeof *ids);
        for (size_t i = 0; i < outcome.id_count; i++)
            ids[i] = owned(outcome.ids[i]);
        ret->tag = AIRLOCK_OPERATOR_TYPES_OUTCOME_BRANCH;
        ret->val.branch.ptr = ids;
        ret->val.branch.len = outcome.id_count;
        break;
    }
    case AIRLOCK_SHORT_CIRCUIT:
        ret->tag = AIRLOCK_OPERATOR_TYPES_OUTCOME_SHORT_CIRCUIT;
        ret->val.short_circuit = outcome.ignore_downstream_trigger_rules;
        break;
    case AIRLOCK_NOT_YET:
        ret->tag = AIRLOCK_OPERATOR_TYPES_OUTCOME_NOT_YET;
        break;
    case AIRLOCK_DEFER:
        ret->tag = AIRLOCK_OPERATOR_TYPES_OUTCOME_DEFER;
        ret->val.defer = owned(outcome.text);
        break;
    default:
        ret->tag = AIRLOCK_OPERATOR_TYPES_OUTCOME_SUCCESS;
        ret->val.success.is_some = outcome.text != NULL;
        if (outcome.text)
            ret->val.success.val = owned(outcome.text);
    }
    return true;
}

/* ---- Imports ---- */

void airlock_log(airlock_level level, const char *message) {
    wit_string text = borrowed(message);
    airlock_operator_log_log((airlock_operator_log_level_t)level, &text);
}

void airlock_progress(double fraction, const char *message) {
    wit_string text = borrowed(message);
    airlock_operator_progress_report(fraction < 0 ? NULL : &fraction, &text);
}

bool airlock_is_cancelled(void) { return airlock_operator_progress_is_cancelled(); }

airlock_error airlock_sys_xcom_push(const char *key, const char *json) {
    wit_string name = borrowed(key), value = borrowed(json);
    CALL(airlock_operator_xcom_push(&name, &value, &error_));
    return ok;
}

airlock_error airlock_sys_xcom_pull(const char *task_id, const char *key, const int32_t *map_index, char **json) {
    wit_string task = borrowed(task_id), name = borrowed(key);
    airlock_operator_xcom_option_json_t found;
    CALL(airlock_operator_xcom_pull(&task, &name, (int32_t *)map_index, &found, &error_));
    *json = found.is_some ? text_of(&found.val) : NULL;
    return ok;
}

struct airlock_reader {
    airlock_operator_storage_own_reader_t handle;
};

struct airlock_writer {
    airlock_operator_storage_own_writer_t handle;
};

airlock_error airlock_storage_open(const char *uri, airlock_reader **reader) {
    wit_string name = borrowed(uri);
    airlock_operator_storage_own_reader_t handle;
    CALL(airlock_operator_storage_open(&name, &handle, &error_));
    *reader = airlock_allocate(sizeof **reader);
    (*reader)->handle = handle;
    return ok;
}

airlock_error airlock_storage_read(airlock_reader *reader, void *bytes, size_t size, size_t *length) {
    operator_list_u8_t got;
    uint32_t most = size < ((size_t)1 << 20) ? (uint32_t)size : (uint32_t)1 << 20;
    CALL(airlock_operator_storage_method_reader_read(airlock_operator_storage_borrow_reader(reader->handle), most, &got, &error_));
    *length = got.len < size ? got.len : size;
    memcpy(bytes, got.ptr, *length);
    operator_list_u8_free(&got);
    return ok;
}

void airlock_storage_close(airlock_reader *reader) {
    airlock_operator_storage_reader_drop_own(reader->handle);
    free(reader);
}

airlock_error airlock_storage_create(const char *uri, airlock_writer **writer) {
    wit_string name = borrowed(uri);
    airlock_operator_storage_own_writer_t handle;
    CALL(airlock_operator_storage_create(&name, &handle, &error_));
    *writer = airlock_allocate(sizeof **writer);
    (*writer)->handle = handle;
    return ok;
}

airlock_error airlock_sys_write(airlock_writer *writer, const void *bytes, size_t length) {
    operator_list_u8_t list = {(uint8_t *)bytes, length};
    CALL(airlock_operator_storage_method_writer_write(airlock_operator_storage_borrow_writer(writer->handle), &list, &error_));
    return ok;
}

airlock_error airlock_storage_finish(airlock_writer *writer, const char **sha256) {
    wit_string digest;
    CALL(airlock_operator_storage_method_writer_finish(airlock_operator_storage_borrow_writer(writer->handle), &digest, &error_));
    if (sha256)
        *sha256 = text_of(&digest);
    airlock_operator_storage_writer_drop_own(writer->handle);
    free(writer);
    return ok;
}

airlock_error airlock_storage_head(const char *uri, bool *exists, airlock_object *object) {
    wit_string name = borrowed(uri);
    airlock_operator_storage_option_object_info_t found;
    CALL(airlock_operator_storage_head(&name, &found, &error_));
    *exists = found.is_some;
    if (found.is_some && object) {
        object->uri = text_of(&found.val.uri);
        object->size = found.val.size;
    }
    return ok;
}

airlock_error airlock_storage_list(const char *prefix, const char *after, airlock_object **objects, size_t *count) {
    wit_string begin = borrowed(prefix), last = borrowed(after);
    airlock_operator_storage_list_object_info_t found;
    CALL(airlock_operator_storage_list(&begin, after ? &last : NULL, &found, &error_));
    *count = found.len;
    *objects = airlock_allocate(found.len * sizeof **objects);
    for (size_t i = 0; i < found.len; i++) {
        (*objects)[i].uri = text_of(&found.ptr[i].uri);
        (*objects)[i].size = found.ptr[i].size;
    }
    return ok;
}

airlock_error airlock_storage_delete(const char *uri) {
    wit_string name = borrowed(uri);
    CALL(airlock_operator_storage_delete(&name, &error_));
    return ok;
}

airlock_error airlock_http_send(const airlock_request *request, airlock_response *response) {
    operator_tuple2_string_list_u8_t *headers = airlock_allocate((request->header_count + 1) * sizeof *headers);
    for (size_t i = 0; i < request->header_count; i++) {
        const airlock_header *header = &request->headers[i];
        headers[i].f0 = borrowed(header->name);
        headers[i].f1 = (operator_list_u8_t){(uint8_t *)header->value, strlen(header->value)};
    }
    airlock_operator_http_request_t sent = {.method = borrowed(request->method ? request->method : "GET"),
                                            .url = borrowed(request->url),
                                            .headers = {headers, request->header_count},
                                            .body = {(uint8_t *)request->body, request->body_length},
                                            .timeout_ms = {request->timeout_ms != 0, request->timeout_ms}};
    airlock_operator_http_response_t got;
    CALL(airlock_operator_http_send(&sent, &got, &error_));
    airlock_header *answered = airlock_allocate((got.headers.len + 1) * sizeof *answered);
    for (size_t i = 0; i < got.headers.len; i++) {
        answered[i].name = text_of(&got.headers.ptr[i].f0);
        answered[i].value = airlock_copy(got.headers.ptr[i].f1.ptr, got.headers.ptr[i].f1.len);
    }
    *response = (airlock_response){got.status, answered, got.headers.len, airlock_copy(got.body.ptr, got.body.len), got.body.len};
    return ok;
}

airlock_error airlock_tracking_start_run(const char *experiment, const char *name, const char **run_id) {
    wit_string place = borrowed(experiment), text = borrowed(name), id;
    CALL(airlock_operator_tracking_start_run(&place, &text, &id, &error_));
    *run_id = text_of(&id);
    return ok;
}

airlock_error airlock_tracking_log_param(const char *run_id, const char *key, const char *value) {
    wit_string id = borrowed(run_id);
    operator_tuple2_string_string_t pair = {borrowed(key), borrowed(value)};
    operator_list_tuple2_string_string_t pairs = {&pair, 1};
    CALL(airlock_operator_tracking_log_params(&id, &pairs, &error_));
    return ok;
}

airlock_error airlock_tracking_log_metric(const char *run_id, const char *key, double value, int64_t step) {
    wit_string id = borrowed(run_id);
    airlock_operator_tracking_metric_t metric = {borrowed(key), value, step};
    airlock_operator_tracking_list_metric_t metrics = {&metric, 1};
    CALL(airlock_operator_tracking_log_metrics(&id, &metrics, &error_));
    return ok;
}

airlock_error airlock_tracking_set_tag(const char *run_id, const char *key, const char *value) {
    wit_string id = borrowed(run_id);
    operator_tuple2_string_string_t pair = {borrowed(key), borrowed(value)};
    operator_list_tuple2_string_string_t pairs = {&pair, 1};
    CALL(airlock_operator_tracking_set_tags(&id, &pairs, &error_));
    return ok;
}

airlock_error airlock_tracking_log_artifact(const char *run_id, const char *path, const char *sha256) {
    wit_string id = borrowed(run_id), place = borrowed(path), digest = borrowed(sha256);
    CALL(airlock_operator_tracking_log_artifact(&id, &place, &digest, &error_));
    return ok;
}

airlock_error airlock_tracking_end_run(const char *run_id, airlock_run_status status) {
    wit_string id = borrowed(run_id);
    CALL(airlock_operator_tracking_end_run(&id, (airlock_operator_tracking_run_status_t)status, &error_));
    return ok;
}
