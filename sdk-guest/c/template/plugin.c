/* The plugin {{name}}. */

#include "airlock.h"

/* Whom to greet. */
typedef struct {
    const char *name;
} hello_config;

static const airlock_field hello_fields[] = {
    AIRLOCK_TEXT(hello_config, name, "A name."),
};

static airlock_outcome hello(const hello_config *config, const airlock_task *task) {
    if (!config->name[0])
        return airlock_invalid("name", "nobody is there to greet");
    airlock_info("try %u of %u", task->try_number, task->max_tries);
    return airlock_success_text("Hello, %s!", config->name);
}

AIRLOCK_OPERATOR(hello, hello_config, hello_fields, "Greets.")

AIRLOCK_PLUGIN("{{name}}", "0.1.0", &hello_operator)
