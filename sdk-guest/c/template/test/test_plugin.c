/* Tests against a fake host: `make test`. */

#include "airlock_testing.h"

extern const airlock_operator hello_operator;

int main(void) {
    AIRLOCK_CHECK_ENDED(airlock_fake_run(&hello_operator, "{\"name\": \"Ada\"}"), AIRLOCK_SUCCESS, "\"Hello, Ada!\"");
    AIRLOCK_CHECK(!strcmp(airlock_fake_log(), "info try 1 of 1\n"));
    AIRLOCK_CHECK_ENDED(airlock_fake_run(&hello_operator, "{\"name\": \"\"}"), AIRLOCK_INVALID_INPUT, "nobody is there to greet");
    AIRLOCK_CHECK_ENDED(airlock_fake_run(&hello_operator, "{\"name\": 7}"), AIRLOCK_INVALID_INPUT, "expected string");
    puts("every test passed");
    return 0;
}
