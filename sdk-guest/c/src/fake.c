/* The fake host of native tests. It answers as the real one does, but for what needs a network or a GPU. */

#include "airlock_testing.h"

#include "internal.h"

typedef struct entry {
    char *place; /* Task, URI or tracking run. */
    char *key;
    char *bytes;
    size_t length;
    struct entry *next;
} entry;

static struct {
    entry *xcoms, *objects, *tracked, *denied, *answers, *statuses, *sent;
    char *log;
    bool cancelled;
    airlock_task task;
} host;

static const airlock_error ok = {AIRLOCK_OK, NULL};

static entry *find(entry *list, const char *place, const char *key) {
    for (entry *at = list; at; at = at->next)
        if (!strcmp(at->place, place) && !strcmp(at->key, key))
            return at;
    return NULL;
}

/* Upserts; objects stay in order of their place, so that a listing is in order. */
static void put(entry **list, const char *place, const char *key, const void *bytes, size_t length) {
    entry *at = find(*list, place, key);
    if (!at) {
        entry **before = list;
        while (*before && strcmp((*before)->place, place) < 0)
            before = &(*before)->next;
        at = airlock_allocate(sizeof *at);
        at->place = airlock_copy(place, strlen(place));
        at->key = airlock_copy(key, strlen(key));
        at->next = *before;
        *before = at;
    }
    at->bytes = airlock_copy(bytes, length);
    at->length = length;
}

airlock_task *airlock_fake_task(void) {
    if (!host.task.dag_id) {
        airlock_task task = {"test_dag", "test_run", "manual", "test_task", -1, 1, 1, 1, "2026-01-05T02:00:00Z", NULL, NULL, NULL, NULL};
        task.params = cJSON_CreateObject();
        task.inputs = cJSON_CreateObject();
        host.task = task;
    }
    return &host.task;
}

void airlock_fake_reset(void) { memset(&host, 0, sizeof host); }

airlock_outcome airlock_fake_run(const airlock_operator *operator_, const char *config) {
    return airlock_run_json(operator_, config, airlock_fake_task());
}

const char *airlock_fake_log(void) { return host.log ? host.log : ""; }

static const char *bytes_of(const entry *found) { return found ? found->bytes : NULL; }

const char *airlock_fake_pushed(const char *key) { return bytes_of(find(host.xcoms, airlock_fake_task()->task_id, key)); }

void airlock_fake_put_xcom(const char *task_id, const char *key, const char *json) { put(&host.xcoms, task_id, key, json, strlen(json)); }

void airlock_fake_put_object(const char *uri, const void *bytes, size_t length) { put(&host.objects, uri, "", bytes, length); }

const char *airlock_fake_object(const char *uri, size_t *length) {
    const entry *found = find(host.objects, uri, "");
    if (found && length)
        *length = found->length;
    return bytes_of(found);
}

const char *airlock_fake_tracked(const char *run_id, const char *key) { return bytes_of(find(host.tracked, run_id, key)); }

void airlock_fake_put_answer(const char *method, const char *url, uint16_t status, const char *body) {
    put(&host.answers, url, method, body, strlen(body));
    put(&host.statuses, url, method, &status, sizeof status);
}

const char *airlock_fake_sent(const char *method, const char *url) { return bytes_of(find(host.sent, url, method)); }

void airlock_fake_deny(const char *interface_) { put(&host.denied, interface_, "", "", 0); }

void airlock_fake_cancel(void) { host.cancelled = true; }

#define NEEDS(interface_)                              \
    do {                                               \
        if (find(host.denied, interface_, ""))         \
            return airlock_error_of(AIRLOCK_DENIED, interface_ " is not granted"); \
    } while (0)

void airlock_log(airlock_level level, const char *message) {
    static const char *const names[] = {"debug", "info", "warn", "error"};
    size_t had = strlen(airlock_fake_log()), size = had + strlen(message) + 16;
    char *log = airlock_allocate(size);
    snprintf(log, size, "%s%s %s\n", airlock_fake_log(), names[level], message);
    host.log = log;
}

void airlock_progress(double fraction, const char *message) {
    (void)fraction;
    (void)message;
}

bool airlock_is_cancelled(void) { return host.cancelled; }

airlock_error airlock_sys_xcom_push(const char *key, const char *json) {
    if (strlen(json) > 48 << 10)
        return airlock_error_of(AIRLOCK_TOO_LARGE, "49152");
    put(&host.xcoms, airlock_fake_task()->task_id, key, json, strlen(json));
    return ok;
}

airlock_error airlock_sys_xcom_pull(const char *task_id, const char *key, const int32_t *map_index, char **json) {
    (void)map_index;
    entry *found = find(host.xcoms, task_id, key);
    *json = found ? found->bytes : NULL;
    return ok;
}

struct airlock_reader {
    const entry *object;
    size_t at;
};

struct airlock_writer {
    char *uri;
    char *bytes;
    size_t length;
};

airlock_error airlock_storage_open(const char *uri, airlock_reader **reader) {
    NEEDS("storage");
    const entry *object = find(host.objects, uri, "");
    if (!object)
        return airlock_error_of(AIRLOCK_NOT_FOUND, uri);
    *reader = airlock_allocate(sizeof **reader);
    (*reader)->object = object;
    (*reader)->at = 0;
    return ok;
}

airlock_error airlock_storage_read(airlock_reader *reader, void *bytes, size_t size, size_t *length) {
    size_t left = reader->object->length - reader->at;
    *length = size < left ? size : left;
    memcpy(bytes, reader->object->bytes + reader->at, *length);
    reader->at += *length;
    return ok;
}

void airlock_storage_close(airlock_reader *reader) { free(reader); }

airlock_error airlock_storage_create(const char *uri, airlock_writer **writer) {
    NEEDS("storage");
    *writer = airlock_allocate(sizeof **writer);
    (*writer)->uri = airlock_copy(uri, strlen(uri));
    (*writer)->bytes = airlock_copy("", 0);
    (*writer)->length = 0;
    return ok;
}

airlock_error airlock_sys_write(airlock_writer *writer, const void *bytes, size_t length) {
    char *longer = airlock_allocate(writer->length + length + 1);
    memcpy(longer, writer->bytes, writer->length);
    memcpy(longer + writer->length, bytes, length);
    writer->bytes = longer;
    writer->length += length;
    return ok;
}

airlock_error airlock_storage_finish(airlock_writer *writer, const char **sha256) {
    put(&host.objects, writer->uri, "", writer->bytes, writer->length);
    /* Tests compare bytes; the digest is the real host's. */
    if (sha256)
        *sha256 = "0000000000000000000000000000000000000000000000000000000000000000";
    return ok;
}

airlock_error airlock_storage_head(const char *uri, bool *exists, airlock_object *object) {
    NEEDS("storage");
    const entry *found = find(host.objects, uri, "");
    *exists = found != NULL;
    if (found && object) {
        object->uri = found->place;
        object->size = found->length;
    }
    return ok;
}

airlock_error airlock_storage_list(const char *prefix, const char *after, airlock_object **objects, size_t *count) {
    NEEDS("storage");
    *objects = airlock_allocate(1000 * sizeof **objects);
    *count = 0;
    for (const entry *at = host.objects; at && *count < 1000; at = at->next) {
        if (strncmp(at->place, prefix, strlen(prefix)) || (after && strcmp(at->place, after) <= 0))
            continue;
        (*objects)[*count].uri = at->place;
        (*objects)[(*count)++].size = at->length;
    }
    return ok;
}

airlock_error airlock_storage_delete(const char *uri) {
    NEEDS("storage");
    for (entry **at = &host.objects; *at; at = &(*at)->next)
        if (!strcmp((*at)->place, uri)) {
            *at = (*at)->next;
            break;
        }
    return ok;
}

airlock_error airlock_http_send(const airlock_request *request, airlock_response *response) {
    NEEDS("http");
    const char *method = request->method ? request->method : "GET";
    put(&host.sent, request->url, method, request->body ? request->body : "", request->body_length);
    const entry *answer = find(host.answers, request->url, method), *status = find(host.statuses, request->url, method);
    if (!answer)
        return airlock_error_of(AIRLOCK_UNAVAILABLE, "no answer: the fake host has none for this URL");
    *response = (airlock_response){0, NULL, 0, answer->bytes, answer->length};
    memcpy(&response->status, status->bytes, sizeof response->status);
    return ok;
}

airlock_error airlock_tracking_start_run(const char *experiment, const char *name, const char **run_id) {
    NEEDS("tracking");
    size_t size = strlen(experiment) + strlen(name) + 2;
    char *id = airlock_allocate(size);
    snprintf(id, size, "%s/%s", experiment, name);
    *run_id = id;
    return ok;
}

airlock_error airlock_tracking_log_param(const char *run_id, const char *key, const char *value) {
    NEEDS("tracking");
    const entry *known = find(host.tracked, run_id, key);
    if (known && strcmp(known->bytes, value))
        return airlock_error_of(AIRLOCK_CONFLICT, "the param has another value");
    put(&host.tracked, run_id, key, value, strlen(value));
    return ok;
}

airlock_error airlock_tracking_log_metric(const char *run_id, const char *key, double value, int64_t step) {
    NEEDS("tracking");
    (void)step;
    char text[40];
    int length = snprintf(text, sizeof text, "%.17g", value);
    put(&host.tracked, run_id, key, text, (size_t)length);
    return ok;
}

airlock_error airlock_tracking_set_tag(const char *run_id, const char *key, const char *value) {
    NEEDS("tracking");
    put(&host.tracked, run_id, key, value, strlen(value));
    return ok;
}

airlock_error airlock_tracking_log_artifact(const char *run_id, const char *path, const char *sha256) {
    NEEDS("tracking");
    put(&host.tracked, run_id, path, sha256, strlen(sha256));
    return ok;
}

airlock_error airlock_tracking_end_run(const char *run_id, airlock_run_status status) {
    NEEDS("tracking");
    static const char *const names[] = {"running", "finished", "failed", "killed"};
    put(&host.tracked, run_id, "status", names[status], strlen(names[status]));
    return ok;
}
