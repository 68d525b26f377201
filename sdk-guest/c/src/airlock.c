/* The part of the SDK that is the same in a component and in a native test: outcomes, configs, schemas. */

#include "internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void *airlock_allocate(size_t size) {
    void *place = malloc(size ? size : 1);
    if (!place)
        abort();
    return place;
}

char *airlock_copy(const void *bytes, size_t length) {
    char *copy = airlock_allocate(length + 1);
    if (length)
        memcpy(copy, bytes, length);
    copy[length] = 0;
    return copy;
}

const char *airlock_http_header(const airlock_response *response, const char *name) {
    for (size_t i = 0; i < response->header_count; i++)
        if (!strcasecmp(response->headers[i].name, name))
            return response->headers[i].value;
    return NULL;
}

static char *format_list(const char *format, va_list list) {
    va_list again;
    va_copy(again, list);
    int length = vsnprintf(NULL, 0, format, list);
    char *text = airlock_allocate((size_t)(length < 0 ? 0 : length) + 1);
    text[0] = 0;
    if (length > 0)
        vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}

#define FORMAT(text, format)                \
    char *text;                             \
    do {                                    \
        va_list list;                       \
        va_start(list, format);             \
        text = format_list(format, list);   \
        va_end(list);                       \
    } while (0)

/* ---- Outcomes ---- */

static airlock_outcome ended(airlock_end end, const char *text) {
    airlock_outcome outcome = {0};
    outcome.end = end;
    outcome.text = text;
    return outcome;
}

airlock_outcome airlock_success(const cJSON *value) {
    return ended(AIRLOCK_SUCCESS, value ? cJSON_PrintUnformatted(value) : NULL);
}

airlock_outcome airlock_success_text(const char *format, ...) {
    FORMAT(text, format);
    return airlock_success(cJSON_CreateString(text));
}

airlock_outcome airlock_success_number(double value) { return airlock_success(cJSON_CreateNumber(value)); }

airlock_outcome airlock_skip(const char *format, ...) {
    FORMAT(text, format);
    return ended(AIRLOCK_SKIP, text);
}

airlock_outcome airlock_branch(const char *const *task_ids, size_t count) {
    airlock_outcome outcome = ended(AIRLOCK_BRANCH, NULL);
    outcome.ids = task_ids;
    outcome.id_count = count;
    return outcome;
}

airlock_outcome airlock_short_circuit(bool ignore_downstream_trigger_rules) {
    airlock_outcome outcome = ended(AIRLOCK_SHORT_CIRCUIT, NULL);
    outcome.ignore_downstream_trigger_rules = ignore_downstream_trigger_rules;
    return outcome;
}

airlock_outcome airlock_not_yet(void) { return ended(AIRLOCK_NOT_YET, NULL); }

airlock_outcome airlock_defer(const char *until) { return ended(AIRLOCK_DEFER, until); }

airlock_outcome airlock_transient(const char *format, ...) {
    FORMAT(text, format);
    return ended(AIRLOCK_TRANSIENT, text);
}

airlock_outcome airlock_permanent(const char *format, ...) {
    FORMAT(text, format);
    return ended(AIRLOCK_PERMANENT, text);
}

airlock_outcome airlock_invalid(const char *field, const char *format, ...) {
    FORMAT(text, format);
    airlock_outcome outcome = ended(AIRLOCK_INVALID_INPUT, text);
    outcome.field = field;
    return outcome;
}

airlock_error airlock_error_of(airlock_error_kind kind, const char *text) {
    airlock_error error = {kind, text};
    return error;
}

airlock_outcome airlock_fail(airlock_error error) {
    static const char *const names[] = {"ok", "denied", "not found", "invalid request", "too large", "conflict", "unavailable"};
    const char *name = names[error.kind];
    if (error.kind == AIRLOCK_UNAVAILABLE)
        return airlock_transient("%s: %s", name, error.text);
    return airlock_permanent("%s: %s", name, error.text);
}

/* ---- Logs ---- */

void airlock_debug(const char *format, ...) {
    FORMAT(text, format);
    airlock_log(AIRLOCK_DEBUG, text);
}

void airlock_info(const char *format, ...) {
    FORMAT(text, format);
    airlock_log(AIRLOCK_INFO, text);
}

void airlock_warn(const char *format, ...) {
    FORMAT(text, format);
    airlock_log(AIRLOCK_WARN, text);
}

/* ---- XComs and objects ---- */

airlock_error airlock_xcom_push(const char *key, const cJSON *value) {
    char *json = value ? cJSON_PrintUnformatted(value) : NULL;
    return airlock_sys_xcom_push(key, json ? json : "null");
}

static airlock_error pull(const char *task_id, const char *key, const int32_t *map_index, cJSON **value) {
    char *json = NULL;
    *value = NULL;
    airlock_error error = airlock_sys_xcom_pull(task_id, key, map_index, &json);
    if (error.kind == AIRLOCK_OK && json && !(*value = cJSON_Parse(json)))
        return airlock_error_of(AIRLOCK_INVALID, "the XCom is no JSON that fits into memory");
    return error;
}

airlock_error airlock_xcom_pull(const char *task_id, const char *key, cJSON **value) { return pull(task_id, key, NULL, value); }

airlock_error airlock_xcom_pull_mapped(const char *task_id, const char *key, int32_t map_index, cJSON **value) {
    return pull(task_id, key, &map_index, value);
}

#define CHUNK ((size_t)1 << 20)

airlock_error airlock_storage_write(airlock_writer *writer, const void *bytes, size_t length) {
    const char *at = bytes;
    while (length) {
        size_t part = length < CHUNK ? length : CHUNK;
        airlock_error error = airlock_sys_write(writer, at, part);
        if (error.kind != AIRLOCK_OK)
            return error;
        at += part;
        length -= part;
    }
    return airlock_error_of(AIRLOCK_OK, NULL);
}

airlock_error airlock_storage_read_all(const char *uri, char **bytes, size_t *length) {
    airlock_reader *reader = NULL;
    airlock_error error = airlock_storage_open(uri, &reader);
    if (error.kind != AIRLOCK_OK)
        return error;
    size_t used = 0, room = 4096;
    char *buffer = airlock_allocate(room + 1);
    for (;;) {
        size_t got = 0;
        error = airlock_storage_read(reader, buffer + used, room - used, &got);
        if (error.kind != AIRLOCK_OK || got == 0)
            break;
        used += got;
        if (used == room) {
            room *= 2;
            char *larger = airlock_allocate(room + 1);
            memcpy(larger, buffer, used);
            free(buffer);
            buffer = larger;
        }
    }
    airlock_storage_close(reader);
    if (error.kind != AIRLOCK_OK)
        return error;
    buffer[used] = 0;
    *bytes = buffer;
    if (length)
        *length = used;
    return error;
}

/* ---- Configs ---- */

static const char *const kind_names[] = {"string", "integer", "number", "boolean", NULL};

char *airlock_schema(const airlock_operator *operator_) {
    cJSON *schema = cJSON_CreateObject();
    cJSON_AddStringToObject(schema, "$schema", "https://json-schema.org/draft/2020-12/schema");
    cJSON_AddStringToObject(schema, "type", "object");
    cJSON_AddFalseToObject(schema, "additionalProperties");
    cJSON *properties = cJSON_AddObjectToObject(schema, "properties");
    cJSON *required = cJSON_AddArrayToObject(schema, "required");
    for (size_t i = 0; i < operator_->field_count; i++) {
        const airlock_field *field = &operator_->fields[i];
        cJSON *property = cJSON_AddObjectToObject(properties, field->name);
        if (kind_names[field->kind])
            cJSON_AddStringToObject(property, "type", kind_names[field->kind]);
        cJSON_AddStringToObject(property, "description", field->description);
        if (field->required)
            cJSON_AddItemToArray(required, cJSON_CreateString(field->name));
        else if (field->default_json)
            cJSON_AddItemToObject(property, "default", cJSON_Parse(field->default_json));
    }
    return cJSON_PrintUnformatted(schema);
}

static bool fits(airlock_kind kind, const cJSON *value) {
    switch (kind) {
    case AIRLOCK_KIND_TEXT:
        return cJSON_IsString(value);
    case AIRLOCK_KIND_INTEGER: {
        /* Integers beyond 2^53 are no exact numbers of JSON. */
        double number = value->valuedouble;
        return cJSON_IsNumber(value) && number >= -9007199254740992.0 && number <= 9007199254740992.0 && (double)(int64_t)number == number;
    }
    case AIRLOCK_KIND_NUMBER:
        return cJSON_IsNumber(value);
    case AIRLOCK_KIND_BOOLEAN:
        return cJSON_IsBool(value);
    case AIRLOCK_KIND_JSON:
        return true;
    }
    return false;
}

static void store(const airlock_field *field, const cJSON *value, char *config) {
    void *place = config + field->offset;
    switch (field->kind) {
    case AIRLOCK_KIND_TEXT:
        *(const char **)place = value->valuestring;
        break;
    case AIRLOCK_KIND_INTEGER:
        *(int64_t *)place = (int64_t)value->valuedouble;
        break;
    case AIRLOCK_KIND_NUMBER:
        *(double *)place = value->valuedouble;
        break;
    case AIRLOCK_KIND_BOOLEAN:
        *(bool *)place = cJSON_IsTrue(value);
        break;
    case AIRLOCK_KIND_JSON:
        *(const cJSON **)place = value;
        break;
    }
}

static const airlock_field *field_of(const airlock_operator *operator_, const char *name) {
    for (size_t i = 0; i < operator_->field_count; i++)
        if (!strcmp(operator_->fields[i].name, name))
            return &operator_->fields[i];
    return NULL;
}

airlock_outcome airlock_run_json(const airlock_operator *operator_, const char *text, const airlock_task *task) {
    const cJSON *json = cJSON_Parse(text);
    if (!cJSON_IsObject(json))
        return airlock_invalid("config", "it is no JSON object");
    for (const cJSON *member = json->child; member; member = member->next)
        if (!field_of(operator_, member->string))
            return airlock_invalid(member->string, "there is no such member");
    char *config = airlock_allocate(operator_->config_size);
    memset(config, 0, operator_->config_size);
    for (size_t i = 0; i < operator_->field_count; i++) {
        const airlock_field *field = &operator_->fields[i];
        const cJSON *value = cJSON_GetObjectItemCaseSensitive(json, field->name);
        if (!value && field->required)
            return airlock_invalid(field->name, "it is missing");
        if (!value && field->default_json)
            value = cJSON_Parse(field->default_json);
        if (!value)
            continue;
        if (!fits(field->kind, value))
            return airlock_invalid(field->name, "expected %s", kind_names[field->kind]);
        store(field, value, config);
    }
    return operator_->run(config, task);
}
