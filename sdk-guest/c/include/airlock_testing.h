/* A fake host for native unit tests: link src/airlock.c, src/fake.c and third_party/cjson/cJSON.c, and no WebAssembly is needed.
 * There is one host in a process; everything in it is in memory.
 */
#ifndef AIRLOCK_TESTING_H
#define AIRLOCK_TESTING_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "airlock.h"

/* Forgets everything: logs, XComs, objects, tracking, denials. */
void airlock_fake_reset(void);
/* The task that operators are told; change its members for a test. */
airlock_task *airlock_fake_task(void);
/* Runs an operator on a config in JSON, as the host would. */
airlock_outcome airlock_fake_run(const airlock_operator *operator_, const char *config);

/* Every line of the log, each with its level: "info try 1 of 1\n". */
const char *airlock_fake_log(void);
/* What the operator pushed under `key`, as JSON text, or NULL. */
const char *airlock_fake_pushed(const char *key);
/* What another task pushed, as JSON text. */
void airlock_fake_put_xcom(const char *task_id, const char *key, const char *json);
/* An object in the storage. */
void airlock_fake_put_object(const char *uri, const void *bytes, size_t length);
/* The bytes of an object, or NULL; `length` may be NULL. */
const char *airlock_fake_object(const char *uri, size_t *length);
/* A param, tag or metric (in decimals) that was logged, or NULL. */
const char *airlock_fake_tracked(const char *run_id, const char *key);
/* What a server answers from now on. */
void airlock_fake_put_answer(const char *method, const char *url, uint16_t status, const char *body);
/* The body that was sent last to a URL, or NULL. */
const char *airlock_fake_sent(const char *method, const char *url);
/* Denies every call of an interface, "storage", "tracking" or "http", from now on. */
void airlock_fake_deny(const char *interface_);
/* From now on the attempt is told to stop. */
void airlock_fake_cancel(void);

/* Ends the test with a message where `condition` does not hold. */
#define AIRLOCK_CHECK(condition)                                                            \
    do {                                                                                    \
        if (!(condition)) {                                                                 \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);  \
            exit(1);                                                                        \
        }                                                                                   \
    } while (0)
/* The same for an operator's end and the text of its outcome: JSON, reason or message. */
#define AIRLOCK_CHECK_ENDED(outcome, expected_end, expected_text)                                              \
    do {                                                                                                       \
        airlock_outcome outcome_ = (outcome);                                                                  \
        const char *text_ = outcome_.text ? outcome_.text : "";                                                \
        if (outcome_.end != (expected_end) || strcmp(text_, (expected_text))) {                                \
            fprintf(stderr, "%s:%d: ended %d with %s\n", __FILE__, __LINE__, (int)outcome_.end, text_);        \
            exit(1);                                                                                           \
        }                                                                                                      \
    } while (0)

#endif
